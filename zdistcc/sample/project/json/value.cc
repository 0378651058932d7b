#include "toolbox/json.hh"

#include "toolbox/check.h"

namespace toolbox::json {

Value::Value(Array value) : held_(std::make_shared<const Array>(std::move(value))) {}
Value::Value(Object value) : held_(std::make_shared<const Object>(std::move(value))) {}

namespace {
const Value null;
}

const Value &Value::operator[](std::string_view key) const
{
    if (!is<Object>())
        return null;
    const Object &object = as<Object>();
    auto found = object.find(key);
    return found == object.end() ? null : found->second;
}

const Value &Value::operator[](std::size_t index) const
{
    return is<Array>() && index < as<Array>().size() ? as<Array>()[index] : null;
}

std::size_t Value::size() const
{
    if (is<Array>())
        return as<Array>().size();
    return is<Object>() ? as<Object>().size() : 0;
}

bool operator==(const Value &one, const Value &other)
{
    if (one.held_.index() != other.held_.index())
        return false;
    if (one.is<Array>())
        return one.as<Array>() == other.as<Array>();
    if (one.is<Object>())
        return one.as<Object>() == other.as<Object>();
    return one.held_ == other.held_;
}

}  // namespace toolbox::json

void check_json_value()
{
    using toolbox::json::Array, toolbox::json::Object, toolbox::json::Value;
    const Value value = Object{
        {"name", "toolbox"},
        {"units", 40},
        {"parts", Array{"base", "hash", Array{}, nullptr, true}},
    };
    CHECK(value.size() == 3);
    CHECK(value["name"].is<std::string>());
    CHECK(value["name"].as<std::string>() == "toolbox");
    CHECK(value["units"].as<double>() == 40);
    CHECK(value["parts"].size() == 5);
    CHECK(value["parts"][2].is<Array>());
    CHECK(value["parts"][3].is_null());
    CHECK(value["parts"][4].as<bool>());
    CHECK(value["parts"][5].is_null());
    CHECK(value["none"]["deeper"][7].is_null());
    const Value copy = value;
    CHECK(copy == value);
    CHECK(copy["parts"] != copy["name"]);
    CHECK(Value(1) != Value(true));
    bool thrown = false;
    try {
        (void)value["name"].as<double>();
    } catch (const std::bad_variant_access &) {
        thrown = true;
    }
    CHECK(thrown);
}
