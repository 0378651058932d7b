// Text by rules: lines of a log, and templates that are filled in.
#ifndef TOOLBOX_RULES_HH
#define TOOLBOX_RULES_HH

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace toolbox::rules {

struct LogLine {
    std::string time, level, source, message;
};

std::optional<LogLine> parse_log_line(const std::string &line);
std::map<std::string, int> count_levels(const std::string &log);

using Values = std::map<std::string, std::string>;
// Replace ${name}, ${name:-default} and ${name|upper}; an unknown name without default stays.
std::string substitute(const std::string &text, const Values &values);

}  // namespace toolbox::rules

#endif
