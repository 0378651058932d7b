#include <array>
#include <sstream>

#include "toolbox/check.h"
#include "toolbox/expr.hh"

namespace toolbox::expr {
namespace {

struct Operator {
    std::string_view text;
    int binds;
    bool to_the_right;
};

constexpr std::array<Operator, 5> operators{{
    {"+", 1, false},
    {"-", 1, false},
    {"*", 2, false},
    {"/", 2, false},
    {"^", 4, true},
}};
constexpr int negation_binds = 3;

// Precedence climbing over the table above.
class Parser {
public:
    explicit Parser(std::string_view text) : tokens_(tokenize(text)) {}

    Tree whole()
    {
        Tree tree = binary(0);
        if (tokens_[at_].kind != Kind::end)
            throw Error("unexpected '" + std::string(tokens_[at_].text) + "'");
        return tree;
    }

private:
    bool accept(std::string_view symbol)
    {
        if (tokens_[at_].kind != Kind::symbol || tokens_[at_].text != symbol)
            return false;
        ++at_;
        return true;
    }

    static Tree make(Node::Type type, std::string_view name, std::vector<Tree> parts, double value = 0)
    {
        return std::make_unique<const Node>(Node{type, value, std::string(name), std::move(parts)});
    }

    Tree binary(int least)
    {
        Tree left = unary();
        for (;;) {
            const Operator *found = nullptr;
            for (const Operator &candidate : operators)
                if (tokens_[at_].kind == Kind::symbol && tokens_[at_].text == candidate.text)
                    found = &candidate;
            if (found == nullptr || found->binds < least)
                return left;
            ++at_;
            std::vector<Tree> parts;
            parts.push_back(std::move(left));
            parts.push_back(binary(found->to_the_right ? found->binds : found->binds + 1));
            left = make(Node::Type::operation, found->text, std::move(parts));
        }
    }

    Tree unary()
    {
        if (!accept("-"))
            return primary();
        std::vector<Tree> parts;
        parts.push_back(binary(negation_binds));
        return make(Node::Type::operation, "-", std::move(parts));
    }

    Tree primary()
    {
        const Token token = tokens_[at_++];
        if (token.kind == Kind::number)
            return make(Node::Type::constant, {}, {}, token.value);
        if (token.kind == Kind::name) {
            if (!accept("("))
                return make(Node::Type::variable, token.text, {});
            std::vector<Tree> arguments;
            do
                arguments.push_back(binary(0));
            while (accept(","));
            close();
            return make(Node::Type::call, token.text, std::move(arguments));
        }
        if (token.text != "(")
            throw Error("a value was expected");
        Tree inner = binary(0);
        close();
        return inner;
    }

    void close()
    {
        if (!accept(")"))
            throw Error("')' was expected");
    }

    std::vector<Token> tokens_;
    std::size_t at_ = 0;
};

}  // namespace

Tree parse(std::string_view text) { return Parser(text).whole(); }

std::string show(const Node &node)
{
    std::ostringstream out;
    switch (node.type) {
    case Node::Type::constant:
        out << node.value;
        break;
    case Node::Type::variable:
        out << node.name;
        break;
    case Node::Type::operation:
        if (node.parts.size() == 1)
            out << "(-" << show(*node.parts[0]) << ')';
        else
            out << '(' << show(*node.parts[0]) << ' ' << node.name << ' ' << show(*node.parts[1]) << ')';
        break;
    case Node::Type::call:
        out << node.name << '(';
        for (std::size_t i = 0; i < node.parts.size(); ++i)
            out << (i ? ", " : "") << show(*node.parts[i]);
        out << ')';
        break;
    }
    return out.str();
}

}  // namespace toolbox::expr

void check_expr_parser()
{
    using namespace toolbox::expr;
    const char *pairs[][2] = {
        {"1+2*3", "(1 + (2 * 3))"},
        {"1-2-3", "((1 - 2) - 3)"},
        {"2^3^4", "(2 ^ (3 ^ 4))"},
        {"-x^2", "(-(x ^ 2))"},
        {"-x*y", "((-x) * y)"},
        {"(a+b)/max(c, d-1)", "((a + b) / max(c, (d - 1)))"},
        {"2^-1", "(2 ^ (-1))"},
    };
    for (const auto &[text, shown] : pairs) {
        CHECK(show(*parse(text)) == shown);
        CHECK(show(*parse(shown)) == shown);
    }
    for (const char *text : {"", "1+", "(1", "1)", "f(", "f(1,)", "1 2", "*"}) {
        bool thrown = false;
        try {
            parse(text);
        } catch (const Error &) {
            thrown = true;
        }
        CHECK(thrown);
    }
}
