#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>

#include "toolbox/check.h"
#include "toolbox/expr.hh"

namespace toolbox::expr {
namespace {

using Arguments = std::vector<double>;

struct Function {
    std::size_t arity;
    std::function<double(const Arguments &)> apply;
};

template <double (*F)(double)> Function unary() { return {1, [](const Arguments &a) { return F(a[0]); }}; }

const std::map<std::string, Function, std::less<>> &functions()
{
    static const std::map<std::string, Function, std::less<>> table{
        {"sin", unary<std::sin>()},
        {"cos", unary<std::cos>()},
        {"exp", unary<std::exp>()},
        {"log", unary<std::log>()},
        {"sqrt", unary<std::sqrt>()},
        {"max", {2, [](const Arguments &a) { return std::max(a[0], a[1]); }}},
        {"min", {2, [](const Arguments &a) { return std::min(a[0], a[1]); }}},
    };
    return table;
}

double apply(char name, double left, double right)
{
    switch (name) {
    case '+':
        return left + right;
    case '-':
        return left - right;
    case '*':
        return left * right;
    case '/':
        return left / right;
    default:
        return std::pow(left, right);
    }
}

}  // namespace

double evaluate(const Node &node, const Variables &variables)
{
    Arguments values;
    std::transform(node.parts.begin(), node.parts.end(), std::back_inserter(values),
                   [&](const Tree &part) { return evaluate(*part, variables); });
    switch (node.type) {
    case Node::Type::constant:
        return node.value;
    case Node::Type::variable: {
        auto found = variables.find(node.name);
        if (found == variables.end())
            throw Error("unknown variable " + node.name);
        return found->second;
    }
    case Node::Type::operation:
        return values.size() == 1 ? -values[0] : apply(node.name[0], values[0], values[1]);
    case Node::Type::call:
        break;
    }
    auto found = functions().find(node.name);
    if (found == functions().end() || found->second.arity != values.size())
        throw Error("no function " + node.name + " of " + std::to_string(values.size()));
    return found->second.apply(values);
}

Tree derive(const Node &node, std::string_view by)
{
    const auto text = [](const Tree &tree) { return show(*tree); };
    std::vector<std::string> parts, derived;
    for (const Tree &part : node.parts) {
        parts.push_back(text(part));
        derived.push_back(text(derive(*part, by)));
    }
    switch (node.type) {
    case Node::Type::constant:
        return parse("0");
    case Node::Type::variable:
        return parse(node.name == by ? "1" : "0");
    case Node::Type::operation:
        if (parts.size() == 1)
            return derived[0] == "0" ? parse("0") : parse("-" + derived[0]);
        if (node.name == "+" || node.name == "-")
            return parse(derived[1] == "0" ? derived[0] : derived[0] + node.name + derived[1]);
        if (node.name == "*")
            return parse(derived[0] + "*" + parts[1] + "+" + parts[0] + "*" + derived[1]);
        if (node.name == "/")
            return parse("(" + derived[0] + "*" + parts[1] + "-" + parts[0] + "*" + derived[1] + ")/" + parts[1] + "^2");
        if (derived[1] != "0")
            throw Error("the exponent must be constant");
        return parse(parts[1] + "*" + parts[0] + "^(" + parts[1] + "-1)*" + derived[0]);
    case Node::Type::call:
        break;
    }
    static const std::map<std::string, std::string> outer{
        {"sin", "cos(@)"}, {"cos", "-sin(@)"}, {"exp", "exp(@)"}, {"log", "1/@"}, {"sqrt", "1/(2*sqrt(@))"}};
    auto rule = outer.find(node.name);
    if (rule == outer.end())
        throw Error("cannot derive " + node.name);
    std::string formula = rule->second;
    formula.replace(formula.find('@'), 1, parts[0]);
    return parse("(" + formula + ")*" + derived[0]);
}

}  // namespace toolbox::expr

void check_evaluate()
{
    using namespace toolbox::expr;
    const auto near = [](double one, double other) { return std::fabs(one - other) < 1e-6; };
    CHECK(near(evaluate(*parse("1+2*3^2-4/8")), 18.5));
    CHECK(near(evaluate(*parse("sqrt(x*x+y*y)"), {{"x", 3}, {"y", 4}}), 5));
    CHECK(near(evaluate(*parse("max(sin(t), cos(t))"), {{"t", 0}}), 1));
    for (const char *text : {"x^3-2*x", "sin(x)*exp(-x)", "log(x)/x", "sqrt(1+x^2)", "-(x-1)^2"}) {
        const Tree tree = parse(text), slope = derive(*tree, "x");
        for (double x = 0.5; x < 3; x += 0.25) {
            const double step = 1e-5;
            double rise = evaluate(*tree, {{"x", x + step}}) - evaluate(*tree, {{"x", x - step}});
            CHECK(near(evaluate(*slope, {{"x", x}}), rise / (2 * step)));
        }
    }
    for (const char *text : {"unknown", "sin(1,2)", "nothing(1)"}) {
        bool thrown = false;
        try {
            evaluate(*parse(text));
        } catch (const Error &) {
            thrown = true;
        }
        CHECK(thrown);
    }
}
