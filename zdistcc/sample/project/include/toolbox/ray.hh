// A small ray tracer: spheres and planes, one light, mirrors.
#ifndef TOOLBOX_RAY_HH
#define TOOLBOX_RAY_HH

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <optional>
#include <vector>

namespace toolbox::ray {

template <typename T, std::size_t N> struct Vector {
    std::array<T, N> at{};

    constexpr T operator[](std::size_t i) const { return at[i]; }
    constexpr Vector &operator+=(const Vector &other)
    {
        for (std::size_t i = 0; i < N; ++i)
            at[i] += other.at[i];
        return *this;
    }
    constexpr Vector &operator*=(T factor)
    {
        for (T &x : at)
            x *= factor;
        return *this;
    }
    friend constexpr Vector operator+(Vector one, const Vector &other) { return one += other; }
    friend constexpr Vector operator*(Vector one, T factor) { return one *= factor; }
    friend constexpr Vector operator-(Vector one) { return one *= T(-1); }
    friend constexpr Vector operator-(const Vector &one, const Vector &other) { return one + -other; }
    friend constexpr T dot(const Vector &one, const Vector &other)
    {
        T sum{};
        for (std::size_t i = 0; i < N; ++i)
            sum += one.at[i] * other.at[i];
        return sum;
    }
    friend T length(const Vector &v) { return std::sqrt(dot(v, v)); }
    friend Vector unit(const Vector &v) { return v * (T(1) / length(v)); }
};

using Vec3 = Vector<double, 3>;
using Colour = Vec3;

struct Ray {
    Vec3 from, towards;  // towards is of length 1
    Vec3 point(double distance) const { return from + towards * distance; }
};

struct Material {
    Colour colour;
    double mirror = 0;
};

struct Hit {
    double distance;
    Vec3 point, normal;
    const Material *material;
};

class Shape {
public:
    explicit Shape(Material material) : material_(material) {}
    virtual ~Shape() = default;
    virtual std::optional<Hit> hit(const Ray &ray) const = 0;

protected:
    Material material_;
};

class Scene {
public:
    void add_sphere(Vec3 centre, double radius, Material material);
    void add_plane(Vec3 point, Vec3 normal, Material material);
    std::optional<Hit> nearest(const Ray &ray) const;
    bool blocked(const Ray &ray, double before) const;
    Vec3 light{{5, 8, -5}};

private:
    std::vector<std::unique_ptr<Shape>> shapes_;
};

Scene demo_scene();
Colour trace(const Scene &scene, const Ray &ray, int depth = 4);

class Image {
public:
    Image(std::size_t width, std::size_t height) : width_(width), height_(height), pixels_(width * height) {}
    Colour &at(std::size_t x, std::size_t y) { return pixels_[y * width_ + x]; }
    const Colour &at(std::size_t x, std::size_t y) const { return pixels_[y * width_ + x]; }
    std::size_t width() const { return width_; }
    std::size_t height() const { return height_; }
    void write_ppm(std::ostream &out) const;

private:
    std::size_t width_, height_;
    std::vector<Colour> pixels_;
};

Image render(const Scene &scene, std::size_t width, std::size_t height);

}  // namespace toolbox::ray

#endif
