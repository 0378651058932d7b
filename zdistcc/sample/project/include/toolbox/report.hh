// Tables for people.
#ifndef TOOLBOX_REPORT_HH
#define TOOLBOX_REPORT_HH

#include <iosfwd>
#include <sstream>
#include <string>
#include <vector>

namespace toolbox {

class Table {
public:
    template <typename... Heads> explicit Table(const Heads &...heads) { add(heads...); }

    template <typename... Cells> Table &add(const Cells &...cells)
    {
        rows_.push_back({text(cells)...});
        return *this;
    }
    void print(std::ostream &out) const;

private:
    template <typename T> static std::string text(const T &cell)
    {
        std::ostringstream out;
        out << cell;
        return out.str();
    }
    std::vector<std::vector<std::string>> rows_;
};

}  // namespace toolbox

#endif
