#include <algorithm>
#include <ostream>
#include <sstream>
#include <string>

#include "toolbox/check.h"
#include "toolbox/hash.h"
#include "toolbox/ray.hh"

namespace toolbox::ray {
namespace {

// Linear light to the eye's scale.
std::uint8_t to_byte(double light)
{
    return static_cast<std::uint8_t>(std::lround(255 * std::pow(std::clamp(light, 0.0, 1.0), 1 / 2.2)));
}

}  // namespace

void Image::write_ppm(std::ostream &out) const
{
    out << "P6\n" << width_ << ' ' << height_ << "\n255\n";
    for (const Colour &pixel : pixels_)
        for (std::size_t i = 0; i < 3; ++i)
            out.put(static_cast<char>(to_byte(pixel[i])));
}

}  // namespace toolbox::ray

void check_image()
{
    using namespace toolbox::ray;
    const Image image = render(demo_scene(), 80, 60);
    CHECK(image.width() == 80 && image.height() == 60);
    std::ostringstream once, again;
    image.write_ppm(once);
    render(demo_scene(), 80, 60).write_ppm(again);
    const std::string bytes = once.str();
    CHECK(bytes.substr(0, 3) == "P6\n");
    CHECK(bytes.size() == std::string("P6\n80 60\n255\n").size() + 80 * 60 * 3);
    CHECK(crc32(0, bytes.data(), bytes.size()) == crc32(0, again.str().data(), again.str().size()));
    unsigned reddish = 0;
    for (std::size_t y = 0; y < image.height(); ++y)
        for (std::size_t x = 0; x < image.width(); ++x)
            reddish += image.at(x, y)[0] > 2 * image.at(x, y)[1];
    CHECK(reddish > 50 && reddish < 2400);
}
