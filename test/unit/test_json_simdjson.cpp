// SPDX-License-Identifier: Apache-2.0
// test_json_simdjson.cpp - a second opinion: the decoder and simdjson agree on random and on
// damaged records. No cmocka here, whose assertions jump over destructors.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <simdjson.h>
#include <string>
#include <vector>

#include "json_random.h"

namespace
{

namespace dom = simdjson::dom;

const char *const paths[BRIDGE_FIELDS] = {"flag",        "small",          "big",  "real",
                                          "time",        "name",           "blob", "card.country",
                                          "card.number", "card.owner.name"};

enum Verdict { FITS, UNFIT };

// The last member with that key: simdjson's own look-up takes the first.
bool last_of(dom::object object, std::string_view key, dom::element &value)
{
    bool found = false;

    for (dom::key_value_pair member : object)
        if (member.key == key) {
            value = member.value;
            found = true;
        }
    return found;
}

// False: something on the way is no object.
bool find(dom::element record, std::string path, dom::element &value, bool &present)
{
    present = false;
    value = record;
    for (;;) {
        const size_t dot = path.find('.');
        dom::object object;

        if (value.is_null())
            return true;
        if (value.get(object))
            return false;
        if (!last_of(object, path.substr(0, dot), value))
            return true;
        if (dot == std::string::npos)
            break;
        path = path.substr(dot + 1);
    }
    present = !value.is_null();
    return true;
}

Verdict compare_value(dom::element value, int field, const json_bridge_value *got)
{
    std::string_view text;
    int64_t integer = 0;
    double real = 0;
    bool flag = false;
    bool same = true;

    switch (field) {
    case BRIDGE_FLAG:
        if (value.get(flag))
            return UNFIT;
        same = got == nullptr || got->integer == flag;
        break;
    case BRIDGE_SMALL:
    case BRIDGE_BIG:
    case BRIDGE_TIME:
    case BRIDGE_NUMBER:
        if (!value.is_int64() || value.get(integer))
            return UNFIT;
        if (field == BRIDGE_SMALL && (integer < INT32_MIN || integer > INT32_MAX))
            return UNFIT;
        same = got == nullptr || got->integer == integer;
        break;
    case BRIDGE_REAL:
        if (value.get(real))
            return UNFIT;
        same = got == nullptr || got->real == real;
        break;
    default:
        if (value.get(text))
            return UNFIT;
        same = got == nullptr || field == BRIDGE_BLOB ||
               std::string_view(got->text, got->size) == text;
    }
    return same ? FITS : UNFIT;
}

Verdict compare(dom::element record, const json_bridge_value *got, const char *&why)
{
    for (int i = 0; i < BRIDGE_FIELDS; i++) {
        dom::element value;
        bool present = false;

        why = paths[i];
        if (!find(record, paths[i], value, present) ||
            (present && compare_value(value, i, got == nullptr ? nullptr : &got[i]) == UNFIT) ||
            (got != nullptr && (got[i].present != 0) != present))
            return UNFIT;
    }
    why = "";
    return FITS;
}

// Numbers out of range are refused by simdjson wherever they stand; half surrogate pairs are not
// always by this version.
bool comparable(simdjson::error_code error, const std::string &record)
{
    return error != simdjson::NUMBER_ERROR && record.find("\\ud") == std::string::npos &&
           record.find("\\uD") == std::string::npos;
}

bool agree(json_bridge *bridge, dom::parser &parser, const std::string &record)
{
    json_bridge_value values[BRIDGE_FIELDS];
    const int status = json_bridge_decode(bridge, record.data(), record.size(), values);
    dom::element root;
    const simdjson::error_code error = parser.parse(record).get(root);
    const bool malformed = error != simdjson::SUCCESS || !root.is_object();
    const char *why = "";
    bool agreed = !comparable(error, record);

    if (!agreed && status == 0)
        agreed = !malformed && compare(root, values, why) == FITS;
    else if (!agreed && status == 14) // SABOT_ERR_FORMAT
        agreed = malformed;
    else if (!agreed)
        agreed = true; // it does not fit; whether rightly so, jansson has said
    if (!agreed)
        std::fprintf(stderr, "%s\n  sabot: %d %s\n  simdjson: %s %s\n", record.c_str(), status,
                     status == 0 ? "" : json_bridge_error(bridge), simdjson::error_message(error),
                     why);
    return agreed;
}

} // namespace

int main()
{
    const char *given = std::getenv("SABOT_TEST_SEED");
    uint64_t seed = given == nullptr ? 1 : std::strtoull(given, nullptr, 10);
    json_bridge *bridge = json_bridge_open();
    std::vector<char> room(JSON_RANDOM_MAX);
    dom::parser parser;
    bool agreed = true;
    int count = 0;

    std::printf("SABOT_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
    seed = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
    for (; count < 50000 && agreed; count++) {
        size_t size = json_random_record(&seed, room.data());

        if (count % 2 == 1)
            size = json_random_damage(&seed, room.data(), size);
        agreed = agree(bridge, parser, std::string(room.data(), size));
    }
    std::printf("%d records, random and damaged: %s\n", count, agreed ? "agreed" : "differ");
    json_bridge_close(bridge);
    return agreed ? 0 : 1;
}
