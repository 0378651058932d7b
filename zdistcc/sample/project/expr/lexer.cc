#include <cctype>
#include <cstdlib>

#include "toolbox/check.h"
#include "toolbox/expr.hh"

namespace toolbox::expr {
namespace {

template <typename Predicate> std::size_t span(std::string_view text, std::size_t from, Predicate wanted)
{
    while (from < text.size() && wanted(static_cast<unsigned char>(text[from])))
        ++from;
    return from;
}

std::size_t number_end(std::string_view text, std::size_t at)
{
    const auto digit = [](unsigned char c) { return std::isdigit(c) != 0; };
    at = span(text, at, digit);
    if (at < text.size() && text[at] == '.')
        at = span(text, at + 1, digit);
    if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
        std::size_t exponent = at + 1;
        if (exponent < text.size() && (text[exponent] == '+' || text[exponent] == '-'))
            ++exponent;
        std::size_t end = span(text, exponent, digit);
        if (end > exponent)
            at = end;
    }
    return at;
}

}  // namespace

std::vector<Token> tokenize(std::string_view text)
{
    constexpr std::string_view symbols = "+-*/^(),";
    std::vector<Token> tokens;
    for (std::size_t at = 0; at < text.size();) {
        const auto c = static_cast<unsigned char>(text[at]);
        std::size_t end = at + 1;
        if (std::isspace(c)) {
            at = end;
            continue;
        }
        Kind kind = Kind::symbol;
        double value = 0;
        if (std::isdigit(c) || c == '.') {
            kind = Kind::number;
            end = number_end(text, at);
            value = std::strtod(std::string(text.substr(at, end - at)).c_str(), nullptr);
        } else if (std::isalpha(c) || c == '_') {
            kind = Kind::name;
            end = span(text, at, [](unsigned char x) { return std::isalnum(x) || x == '_'; });
        } else if (symbols.find(text[at]) == std::string_view::npos) {
            throw Error("unexpected character '" + std::string(1, text[at]) + "'");
        }
        tokens.push_back({kind, text.substr(at, end - at), value});
        at = end;
    }
    tokens.push_back({Kind::end, {}, 0});
    return tokens;
}

}  // namespace toolbox::expr

void check_lexer()
{
    using namespace toolbox::expr;
    const auto tokens = tokenize(" 3.5e2*alpha_1 -(2e)");
    CHECK(tokens.size() == 9);
    CHECK(tokens[0].kind == Kind::number && tokens[0].value == 350);
    CHECK(tokens[1].text == "*");
    CHECK(tokens[2].kind == Kind::name && tokens[2].text == "alpha_1");
    CHECK(tokens[5].value == 2 && tokens[6].text == "e");
    CHECK(tokens.back().kind == Kind::end);
    CHECK(tokenize("").size() == 1);
    bool thrown = false;
    try {
        tokenize("1 $ 2");
    } catch (const Error &error) {
        thrown = std::string(error.what()).find('$') != std::string::npos;
    }
    CHECK(thrown);
}
