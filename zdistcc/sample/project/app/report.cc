#include "toolbox/report.hh"

#include <algorithm>
#include <iomanip>
#include <ostream>

#include "toolbox/check.h"
#include "toolbox/text.h"

namespace toolbox {
namespace {

bool is_number(const std::string &text)
{
    return !text.empty() && text.find_first_not_of("0123456789.-") == std::string::npos;
}

}  // namespace

void Table::print(std::ostream &out) const
{
    std::vector<std::size_t> widths;
    for (const auto &row : rows_) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); ++i)
            widths[i] = std::max(widths[i], utf8_columns(row[i].c_str()));
    }
    for (std::size_t number = 0; number < rows_.size(); ++number) {
        const auto &row = rows_[number];
        for (std::size_t i = 0; i < row.size(); ++i) {
            const std::string blanks(widths[i] - utf8_columns(row[i].c_str()), ' ');
            const bool last = i + 1 == row.size();
            out << (i ? "  " : "");
            if (is_number(row[i]))
                out << blanks << row[i];
            else
                out << row[i] << (last ? "" : blanks);
        }
        out << '\n';
        if (number == 0) {
            for (std::size_t i = 0; i < widths.size(); ++i)
                out << (i ? "  " : "") << std::setfill('-') << std::setw(static_cast<int>(widths[i])) << "";
            out << std::setfill(' ') << '\n';
        }
    }
}

}  // namespace toolbox

void check_report()
{
    std::ostringstream out;
    toolbox::Table table("name", "count", "note");
    table.add("caf\xc3\xa9", 3, "ok").add("a longer one", 12.5, "").add("x", -100, "last");
    table.print(out);
    CHECK(out.str() ==
          "name          count  note\n"
          "------------  -----  ----\n"
          "caf\xc3\xa9              3  ok\n"
          "a longer one   12.5  \n"
          "x              -100  last\n");
    std::ostringstream only;
    toolbox::Table("single").print(only);
    CHECK(only.str() == "single\n------\n");
}
