#include <algorithm>

#include "toolbox/check.h"
#include "toolbox/ray.hh"

namespace toolbox::ray {
namespace {

constexpr Colour sky_low{{0.9, 0.95, 1.0}}, sky_high{{0.3, 0.5, 0.9}};
constexpr double ambient = 0.15, shine = 32;

Colour mix(const Colour &one, const Colour &other, double share) { return one * (1 - share) + other * share; }

Vec3 reflect(const Vec3 &towards, const Vec3 &normal) { return towards - normal * (2 * dot(towards, normal)); }

Colour lit(const Scene &scene, const Hit &hit, const Vec3 &view)
{
    const Vec3 to_light = scene.light - hit.point;
    const double distance = length(to_light);
    const Ray shadow{hit.point + hit.normal * 1e-4, to_light * (1 / distance)};
    if (scene.blocked(shadow, distance))
        return hit.material->colour * ambient;
    const double diffuse = std::max(0.0, dot(hit.normal, shadow.towards));
    const double glance = std::max(0.0, dot(reflect(view, hit.normal), shadow.towards));
    const double spark = hit.material->mirror * std::pow(glance, shine);
    return hit.material->colour * (ambient + (1 - ambient) * diffuse) + Colour{{spark, spark, spark}};
}

}  // namespace

Colour trace(const Scene &scene, const Ray &ray, int depth)
{
    const auto hit = scene.nearest(ray);
    if (!hit)
        return mix(sky_low, sky_high, std::clamp(ray.towards[1], 0.0, 1.0));
    Colour colour = lit(scene, *hit, ray.towards);
    if (hit->material->mirror > 0 && depth > 0) {
        const Ray next{hit->point + hit->normal * 1e-4, unit(reflect(ray.towards, hit->normal))};
        colour = mix(colour, trace(scene, next, depth - 1), hit->material->mirror);
    }
    return colour;
}

Image render(const Scene &scene, std::size_t width, std::size_t height)
{
    Image image(width, height);
    const double scale = 2.0 / static_cast<double>(height);
    for (std::size_t y = 0; y < height; ++y) {
        for (std::size_t x = 0; x < width; ++x) {
            const double right = (static_cast<double>(x) + 0.5) * scale - static_cast<double>(width) / static_cast<double>(height);
            const double up = 1 - (static_cast<double>(y) + 0.5) * scale;
            image.at(x, y) = trace(scene, {{{0, 0.5, -2}}, unit(Vec3{{right, up - 0.1, 2}})});
        }
    }
    return image;
}

}  // namespace toolbox::ray

void check_trace()
{
    using namespace toolbox::ray;
    const Scene scene = demo_scene();
    const Colour up = trace(scene, {{{0, 0, 0}}, {{0, 1, 0}}});
    CHECK(up[2] > up[0]);
    const Colour ball = trace(scene, {{{0, 0, 0}}, {{0, 0, 1}}});
    CHECK(ball[0] > ball[1] && ball[0] > ball[2]);
    Scene mirrors;
    mirrors.add_plane({{0, 0, 1}}, {{0, 0, -1}}, {{{0.5, 0.5, 0.5}}, 1});
    mirrors.add_plane({{0, 0, -1}}, {{0, 0, 1}}, {{{0.5, 0.5, 0.5}}, 1});
    const Colour endless = trace(mirrors, {{{0, 0, 0}}, {{0, 0, 1}}}, 50);
    CHECK(endless[0] >= 0 && endless[0] <= 2);
    const Colour shaded = trace(scene, {{{0, 3, 3}}, {{0, -1, 0}}}, 0);
    CHECK(length(shaded) > 0);
}
