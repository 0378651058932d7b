#include <regex>
#include <sstream>

#include "toolbox/check.h"
#include "toolbox/rules.hh"

namespace toolbox::rules {
namespace {

const std::regex &line_rule()
{
    static const std::regex rule(
        R"(^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?)\s+(DEBUG|INFO|WARN|ERROR)\s+\[([^\]]+)\]\s+(.*)$)",
        std::regex::ECMAScript | std::regex::optimize);
    return rule;
}

}  // namespace

std::optional<LogLine> parse_log_line(const std::string &line)
{
    std::smatch match;
    if (!std::regex_match(line, match, line_rule()))
        return std::nullopt;
    return LogLine{match[1], match[2], match[3], match[4]};
}

std::map<std::string, int> count_levels(const std::string &log)
{
    std::map<std::string, int> counts;
    std::istringstream lines(log);
    for (std::string line; std::getline(lines, line);)
        if (const auto parsed = parse_log_line(line))
            ++counts[parsed->level];
        else
            ++counts["?"];
    return counts;
}

}  // namespace toolbox::rules

void check_log_rules()
{
    using namespace toolbox::rules;
    const auto line = parse_log_line("2024-05-06T07:08:09.123 WARN [worker 3] the queue is [long]");
    CHECK(line.has_value());
    CHECK(line && line->time == "2024-05-06T07:08:09.123");
    CHECK(line && line->level == "WARN" && line->source == "worker 3");
    CHECK(line && line->message == "the queue is [long]");
    CHECK(!parse_log_line("yesterday INFO [a] b"));
    CHECK(!parse_log_line("2024-05-06T07:08:09 NOTICE [a] b"));
    const auto counts = count_levels(
        "2024-05-06T07:08:09 INFO [main] started\n"
        "2024-05-06T07:08:10 ERROR [disk] full\n"
        "    continued\n"
        "2024-05-06T07:08:11 INFO [main] ended\n");
    CHECK(counts == (std::map<std::string, int>{{"INFO", 2}, {"ERROR", 1}, {"?", 1}}));
}
