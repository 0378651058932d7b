#include <algorithm>

#include "toolbox/check.h"
#include "toolbox/ray.hh"

namespace toolbox::ray {
namespace {

constexpr double too_near = 1e-6;

class Sphere final : public Shape {
public:
    Sphere(Vec3 centre, double radius, Material material) : Shape(material), centre_(centre), radius_(radius) {}

    std::optional<Hit> hit(const Ray &ray) const override
    {
        const Vec3 offset = ray.from - centre_;
        const double half = dot(offset, ray.towards);
        const double discriminant = half * half - dot(offset, offset) + radius_ * radius_;
        if (discriminant < 0)
            return std::nullopt;
        const double root = std::sqrt(discriminant);
        const double distance = -half - root > too_near ? -half - root : -half + root;
        if (distance <= too_near)
            return std::nullopt;
        const Vec3 point = ray.point(distance);
        return Hit{distance, point, (point - centre_) * (1 / radius_), &material_};
    }

private:
    Vec3 centre_;
    double radius_;
};

class Plane final : public Shape {
public:
    Plane(Vec3 point, Vec3 normal, Material material) : Shape(material), point_(point), normal_(unit(normal)) {}

    std::optional<Hit> hit(const Ray &ray) const override
    {
        const double slope = dot(ray.towards, normal_);
        if (std::fabs(slope) < too_near)
            return std::nullopt;
        const double distance = dot(point_ - ray.from, normal_) / slope;
        if (distance <= too_near)
            return std::nullopt;
        return Hit{distance, ray.point(distance), slope < 0 ? normal_ : -normal_, &material_};
    }

private:
    Vec3 point_, normal_;
};

}  // namespace

void Scene::add_sphere(Vec3 centre, double radius, Material material)
{
    shapes_.push_back(std::make_unique<Sphere>(centre, radius, material));
}

void Scene::add_plane(Vec3 point, Vec3 normal, Material material)
{
    shapes_.push_back(std::make_unique<Plane>(point, normal, material));
}

std::optional<Hit> Scene::nearest(const Ray &ray) const
{
    std::optional<Hit> best;
    for (const auto &shape : shapes_)
        if (auto hit = shape->hit(ray); hit && (!best || hit->distance < best->distance))
            best = hit;
    return best;
}

bool Scene::blocked(const Ray &ray, double before) const
{
    return std::any_of(shapes_.begin(), shapes_.end(), [&](const auto &shape) {
        const auto hit = shape->hit(ray);
        return hit && hit->distance < before;
    });
}

Scene demo_scene()
{
    Scene scene;
    scene.add_plane({{0, -1, 0}}, {{0, 1, 0}}, {{{0.6, 0.6, 0.6}}, 0.1});
    scene.add_sphere({{0, 0, 3}}, 1, {{{0.9, 0.2, 0.1}}, 0.2});
    scene.add_sphere({{-2, 0, 4}}, 1, {{{0.1, 0.7, 0.3}}, 0.0});
    scene.add_sphere({{1.5, -0.5, 2}}, 0.5, {{{0.9, 0.9, 0.9}}, 0.8});
    return scene;
}

}  // namespace toolbox::ray

void check_scene()
{
    using namespace toolbox::ray;
    static_assert(dot(Vec3{{1, 2, 3}}, Vec3{{4, 5, 6}}) == 32);
    static_assert((Vec3{{1, 2, 3}} - Vec3{{1, 1, 1}})[2] == 2);
    const Scene scene = demo_scene();
    const auto ahead = scene.nearest({{{0, 0, 0}}, {{0, 0, 1}}});
    CHECK(ahead && std::fabs(ahead->distance - 2) < 1e-9);
    CHECK(ahead && std::fabs(ahead->normal[2] + 1) < 1e-9);
    CHECK(!scene.nearest({{{0, 0, 0}}, {{0, 1, 0}}}));
    const auto down = scene.nearest({{{0, 5, -9}}, {{0, -1, 0}}});
    CHECK(down && std::fabs(down->distance - 6) < 1e-9);
    const auto inside = scene.nearest({{{0, 0, 3}}, {{1, 0, 0}}});
    CHECK(inside && std::fabs(inside->distance - 1) < 1e-9);
    CHECK(scene.blocked({{{0, 0, 0}}, {{0, 0, 1}}}, 3));
    CHECK(!scene.blocked({{{0, 0, 0}}, {{0, 0, 1}}}, 1));
}
