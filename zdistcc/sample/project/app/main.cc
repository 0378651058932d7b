// Runs the self-check of every module and prints a summary; `toolbox --json` prints it as JSON.

#include <algorithm>
#include <cstring>
#include <exception>
#include <iostream>
#include <numeric>

#include "toolbox/check.h"
#include "toolbox/json.hh"
#include "toolbox/report.hh"

namespace {

struct Module {
    const char *name;
    void (*check)();
};

constexpr Module modules[] = {
#define TOOLBOX_CHECK(module) {#module, check_##module},
#include "toolbox/checks.def"
#undef TOOLBOX_CHECK
};

std::vector<check_totals> run_all()
{
    std::vector<check_totals> results;
    for (const Module &module : modules) {
        check_begin(module.name);
        try {
            module.check();
        } catch (const std::exception &error) {
            check_note(0, error.what(), __FILE__, __LINE__);
        }
        results.push_back(check_end());
    }
    return results;
}

void print_table(const std::vector<check_totals> &results)
{
    toolbox::Table table("module", "passed", "failed");
    for (const check_totals &result : results)
        table.add(result.module, result.passed, result.failed);
    table.print(std::cout);
}

void print_json(const std::vector<check_totals> &results)
{
    namespace json = toolbox::json;
    json::Object object;
    for (const check_totals &result : results)
        object.emplace(result.module, json::Object{
                                          {"passed", static_cast<int>(result.passed)},
                                          {"failed", static_cast<int>(result.failed)},
                                      });
    std::cout << json::write(object, 2) << '\n';
}

}  // namespace

int main(int argc, char **argv)
{
    const auto results = run_all();
    const bool as_json = argc > 1 && std::strcmp(argv[1], "--json") == 0;
    (as_json ? print_json : print_table)(results);
    const auto total = [&](unsigned check_totals::*count) {
        return std::accumulate(results.begin(), results.end(), 0u,
                               [count](unsigned sum, const check_totals &r) { return sum + r.*count; });
    };
    const unsigned failed = total(&check_totals::failed);
    if (!as_json)
        std::cout << results.size() << " modules, " << total(&check_totals::passed) << " checks passed, " << failed
                  << " failed\n";
    return failed == 0 ? 0 : 1;
}
