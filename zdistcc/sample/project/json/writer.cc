#include "toolbox/json.hh"

#include <cmath>
#include <cstdio>
#include <type_traits>

#include "toolbox/check.h"

namespace toolbox::json {
namespace {

void quote(std::string &out, std::string_view text)
{
    out += '"';
    for (const char c : text) {
        switch (c) {
        case '"':
            out += "\\\"";
            break;
        case '\\':
            out += "\\\\";
            break;
        case '\n':
            out += "\\n";
            break;
        case '\t':
            out += "\\t";
            break;
        default:
            if (static_cast<unsigned char>(c) < 0x20) {
                char code[8];
                std::snprintf(code, sizeof code, "\\u%04x", static_cast<unsigned>(c));
                out += code;
            } else {
                out += c;
            }
        }
    }
    out += '"';
}

class Writer {
public:
    explicit Writer(int indent) : indent_(indent) {}

    std::string text;

    void put(const Value &value, int depth)
    {
        value.visit([&](const auto &held) {
            using Held = std::decay_t<decltype(held)>;
            if constexpr (std::is_same_v<Held, std::monostate>)
                text += "null";
            else if constexpr (std::is_same_v<Held, bool>)
                text += held ? "true" : "false";
            else if constexpr (std::is_same_v<Held, double>)
                number(held);
            else if constexpr (std::is_same_v<Held, std::string>)
                quote(text, held);
            else if constexpr (std::is_same_v<Held, std::shared_ptr<const Array>>)
                list('[', ']', *held, depth, [&](const Value &item) { put(item, depth + 1); });
            else
                list('{', '}', *held, depth, [&](const auto &member) {
                    quote(text, member.first);
                    text += indent_ > 0 ? ": " : ":";
                    put(member.second, depth + 1);
                });
        });
    }

private:
    void number(double value)
    {
        char digits[32];
        if (std::isfinite(value))
            std::snprintf(digits, sizeof digits, "%.15g", value);
        text += std::isfinite(value) ? digits : "null";
    }

    void new_line(int depth)
    {
        if (indent_ > 0)
            text.append("\n").append(static_cast<std::size_t>(depth * indent_), ' ');
    }

    template <typename Items, typename Put>
    void list(char open, char close, const Items &items, int depth, Put put_item)
    {
        text += open;
        bool first = true;
        for (const auto &item : items) {
            if (!first)
                text += ',';
            first = false;
            new_line(depth + 1);
            put_item(item);
        }
        if (!first)
            new_line(depth);
        text += close;
    }

    int indent_;
};

}  // namespace

std::string write(const Value &value, int indent)
{
    Writer writer(indent);
    writer.put(value, 0);
    return std::move(writer.text);
}

}  // namespace toolbox::json

void check_json_writer()
{
    using namespace toolbox::json;
    const char *texts[] = {"null", "[]", "{}", "[1,2.5,-3e+20]", R"({"a":"\"\\\n\t\u0001","b":[true,{"c":null}]})"};
    for (const char *text : texts)
        CHECK(write(parse(text)) == text);
    const Value value = Object{{"list", Array{1, 2}}, {"none", Array{}}};
    CHECK(write(value, 2) == "{\n  \"list\": [\n    1,\n    2\n  ],\n  \"none\": []\n}");
    CHECK(parse(write(value, 4)) == value);
    CHECK(write(std::nan("")) == "null");
}
