// JSON documents as values.
#ifndef TOOLBOX_JSON_HH
#define TOOLBOX_JSON_HH

#include <cstddef>
#include <initializer_list>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace toolbox::json {

class Value;
using Array = std::vector<Value>;
using Object = std::map<std::string, Value, std::less<>>;

class Value {
public:
    Value() = default;
    Value(std::nullptr_t) {}
    Value(bool value) : held_(value) {}
    Value(double value) : held_(value) {}
    Value(int value) : held_(static_cast<double>(value)) {}
    Value(const char *value) : held_(std::string(value)) {}
    Value(std::string value) : held_(std::move(value)) {}
    Value(Array value);
    Value(Object value);

    template <typename T> bool is() const { return std::holds_alternative<T>(unboxed<T>()); }
    template <typename T> const T &as() const;

    bool is_null() const { return std::holds_alternative<std::monostate>(held_); }
    // A member or an element; null if there is none.
    const Value &operator[](std::string_view key) const;
    const Value &operator[](std::size_t index) const;
    std::size_t size() const;

    template <typename Visitor> decltype(auto) visit(Visitor &&visitor) const
    {
        return std::visit(std::forward<Visitor>(visitor), held_);
    }

    friend bool operator==(const Value &one, const Value &other);
    friend bool operator!=(const Value &one, const Value &other) { return !(one == other); }

private:
    // Shared, not copied: documents are never changed.
    using Held = std::variant<std::monostate, bool, double, std::string, std::shared_ptr<const Array>,
                              std::shared_ptr<const Object>>;
    template <typename T> const Held &unboxed() const { return held_; }
    Held held_;
};

template <> inline bool Value::is<Array>() const
{
    return std::holds_alternative<std::shared_ptr<const Array>>(held_);
}
template <> inline bool Value::is<Object>() const
{
    return std::holds_alternative<std::shared_ptr<const Object>>(held_);
}
template <typename T> const T &Value::as() const { return std::get<T>(held_); }
template <> inline const Array &Value::as<Array>() const
{
    return *std::get<std::shared_ptr<const Array>>(held_);
}
template <> inline const Object &Value::as<Object>() const
{
    return *std::get<std::shared_ptr<const Object>>(held_);
}

struct ParseError : std::runtime_error {
    ParseError(const std::string &what, std::size_t where);
    std::size_t offset;
};

Value parse(std::string_view text);
// indent 0: on one line
std::string write(const Value &value, int indent = 0);

}  // namespace toolbox::json

#endif
