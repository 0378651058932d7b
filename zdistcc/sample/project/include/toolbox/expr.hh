// Arithmetic expressions: text to tokens to a tree to a number.
#ifndef TOOLBOX_EXPR_HH
#define TOOLBOX_EXPR_HH

#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace toolbox::expr {

struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

enum class Kind { number, name, symbol, end };

struct Token {
    Kind kind;
    std::string_view text;
    double value;
};

std::vector<Token> tokenize(std::string_view text);

struct Node;
using Tree = std::unique_ptr<const Node>;

struct Node {
    enum class Type { constant, variable, call, operation } type;
    double value = 0;
    std::string name;  // of the variable, function or operator
    std::vector<Tree> parts;
};

Tree parse(std::string_view text);
// Fully parenthesized
std::string show(const Node &node);

using Variables = std::map<std::string, double, std::less<>>;
double evaluate(const Node &node, const Variables &variables = {});
// The derivative by a variable, as a tree that is simplified a little.
Tree derive(const Node &node, std::string_view by);

}  // namespace toolbox::expr

#endif
