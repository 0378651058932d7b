#include <algorithm>
#include <cctype>
#include <functional>
#include <regex>

#include "toolbox/check.h"
#include "toolbox/rules.hh"

namespace toolbox::rules {
namespace {

using Filter = std::function<std::string(std::string)>;

Filter each_character(int (*change)(int))
{
    return [change](std::string text) {
        std::transform(text.begin(), text.end(), text.begin(),
                       [change](unsigned char c) { return static_cast<char>(change(c)); });
        return text;
    };
}

const std::map<std::string, Filter> &filters()
{
    static const std::map<std::string, Filter> table{
        {"upper", each_character(std::toupper)},
        {"lower", each_character(std::tolower)},
        {"reverse", [](std::string text) { return std::string(text.rbegin(), text.rend()); }},
        {"length", [](const std::string &text) { return std::to_string(text.size()); }},
    };
    return table;
}

std::string replacement(const std::smatch &match, const Values &values)
{
    const auto found = values.find(match[1]);
    if (found == values.end() && !match[2].matched)
        return match.str();
    std::string text = found == values.end() ? match[2].str() : found->second;
    if (match[3].matched) {
        const auto filter = filters().find(match[3]);
        if (filter == filters().end())
            return match.str();
        text = filter->second(std::move(text));
    }
    return text;
}

}  // namespace

std::string substitute(const std::string &text, const Values &values)
{
    static const std::regex rule(R"(\$\{([a-z_]\w*)(?::-([^}|]*))?(?:\|(\w+))?\})", std::regex::icase);
    std::string out;
    auto rest = text.cbegin();
    for (std::sregex_iterator match(text.begin(), text.end(), rule), end; match != end; ++match) {
        out.append(rest, (*match)[0].first);
        out += replacement(*match, values);
        rest = (*match)[0].second;
    }
    return out.append(rest, text.cend());
}

}  // namespace toolbox::rules

void check_substitute()
{
    using toolbox::rules::substitute;
    const toolbox::rules::Values values{{"name", "World"}, {"Empty", ""}};
    CHECK(substitute("Hello, ${name}!", values) == "Hello, World!");
    CHECK(substitute("${name|upper} ${name|reverse} ${name|length}", values) == "WORLD dlroW 5");
    CHECK(substitute("${none} ${none:-nobody} ${none:-some one|upper}", values) == "${none} nobody SOME ONE");
    CHECK(substitute("[${Empty}]", values) == "[]");
    CHECK(substitute("$name {name} ${} ${1}", values) == "$name {name} ${} ${1}");
    CHECK(substitute("${name|shout}", values) == "${name|shout}");
    CHECK(substitute("", values).empty());
}
