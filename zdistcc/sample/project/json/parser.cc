#include "toolbox/json.hh"

#include <charconv>
#include <cstdint>
#include <cstdlib>

#include "toolbox/check.h"
#include "toolbox/text.h"

namespace toolbox::json {

ParseError::ParseError(const std::string &what, std::size_t where)
    : std::runtime_error(what + " at offset " + std::to_string(where)), offset(where)
{
}

namespace {

constexpr int depth_limit = 200;

class Parser {
public:
    explicit Parser(std::string_view text) : text_(text) {}

    Value document()
    {
        Value value = any(0);
        if (peek() != '\0' || at_ < text_.size())
            fail("text after the value");
        return value;
    }

private:
    [[noreturn]] void fail(const char *what) const { throw ParseError(what, at_); }

    char peek()
    {
        while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
            ++at_;
        return at_ < text_.size() ? text_[at_] : '\0';
    }

    bool accept(char c)
    {
        if (peek() != c)
            return false;
        ++at_;
        return true;
    }

    void expect(char c)
    {
        if (!accept(c))
            fail("another character expected");
    }

    Value any(int depth)
    {
        if (depth > depth_limit)
            fail("nested too deep");
        switch (peek()) {
        case '{':
            return object(depth);
        case '[':
            return array(depth);
        case '"':
            return string();
        case 't':
            return word("true", true);
        case 'f':
            return word("false", false);
        case 'n':
            return word("null", nullptr);
        default:
            return number();
        }
    }

    Value word(std::string_view name, Value value)
    {
        if (text_.substr(at_, name.size()) != name)
            fail("unknown word");
        at_ += name.size();
        return value;
    }

    Value number()
    {
        std::size_t end = text_.find_first_not_of("+-.0123456789eE", at_);
        const std::string digits(text_.substr(at_, end == std::string_view::npos ? end : end - at_));
        char *stop = nullptr;
        double value = std::strtod(digits.c_str(), &stop);
        bool leading_zero = digits.size() > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9';
        if (digits.empty() || *stop != '\0' || digits[0] == '+' || digits[0] == '.' || leading_zero)
            fail("not a value");
        at_ += digits.size();
        return value;
    }

    unsigned hex4()
    {
        unsigned code = 0;
        const char *begin = text_.data() + at_;
        if (text_.size() - at_ < 4 || std::from_chars(begin, begin + 4, code, 16).ptr != begin + 4)
            fail("four hexadecimal digits expected");
        at_ += 4;
        return code;
    }

    void escape(std::string &out)
    {
        static constexpr std::string_view names = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
        const char c = at_ < text_.size() ? text_[at_++] : '\0';
        if (c != 'u') {
            std::size_t which = names.find(c);
            if (which == std::string_view::npos)
                fail("unknown escape");
            out += meanings[which];
            return;
        }
        std::uint32_t code = hex4();
        if (code >= 0xd800 && code < 0xdc00 && text_.substr(at_, 2) == "\\u") {
            at_ += 2;
            code = 0x10000 + ((code - 0xd800) << 10) + ((hex4() - 0xdc00) & 0x3ff);
        }
        char bytes[4];
        out.append(bytes, utf8_encode(code, bytes));
    }

    std::string string()
    {
        expect('"');
        std::string out;
        for (;;) {
            if (at_ == text_.size() || static_cast<unsigned char>(text_[at_]) < 0x20)
                fail("string without end");
            const char c = text_[at_++];
            if (c == '"')
                return out;
            if (c == '\\')
                escape(out);
            else
                out += c;
        }
    }

    Value array(int depth)
    {
        expect('[');
        Array items;
        if (accept(']'))
            return items;
        do
            items.push_back(any(depth + 1));
        while (accept(','));
        expect(']');
        return items;
    }

    Value object(int depth)
    {
        expect('{');
        Object members;
        if (accept('}'))
            return members;
        do {
            peek();
            std::string key = string();
            expect(':');
            members.insert_or_assign(std::move(key), any(depth + 1));
        } while (accept(','));
        expect('}');
        return members;
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

}  // namespace

Value parse(std::string_view text) { return Parser(text).document(); }

}  // namespace toolbox::json

void check_json_parser()
{
    using namespace toolbox::json;
    const Value value = parse(R"( {"a": [1, -2.5e3, true, null], "b\n": {"\u00e9\ud83d\ude00": ""}, "c": [] } )");
    CHECK(value["a"].size() == 4);
    CHECK(value["a"][1].as<double>() == -2500);
    CHECK(value["b\n"]["\xc3\xa9\xf0\x9f\x98\x80"].as<std::string>().empty());
    CHECK(value["c"].is<Array>());
    const char *bad[] = {"", "{", "[1,]", "[1 2]", "tru", "01", "+1", "\"a", "\"\\x\"", "{\"a\" 1}", "{a:1}", "1 1", ".5"};
    for (const char *text : bad) {
        bool thrown = false;
        try {
            parse(text);
        } catch (const ParseError &error) {
            thrown = error.offset <= std::string_view(text).size();
        }
        CHECK(thrown);
    }
    bool thrown = false;
    try {
        parse(std::string(100000, '['));
    } catch (const ParseError &) {
        thrown = true;
    }
    CHECK(thrown);
}
