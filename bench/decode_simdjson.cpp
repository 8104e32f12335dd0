// SPDX-License-Identifier: Apache-2.0
// decode_simdjson.cpp - the same transactions by simdjson On-Demand, in the two ways it can be
// asked.
#include "decode.h"

#include <cstring>
#include <simdjson.h>

namespace
{

namespace ondemand = simdjson::ondemand;

ondemand::parser parser;

const char *const texts[8] = {"account_number",   "user_id",     "transaction_date", "currency",
                              "transaction_type", "branch_city", "payment_method",   "country"};

void put(plain_columns *columns, int column, std::string_view text)
{
    const int32_t start = columns->offsets[column][columns->rows];

    std::memcpy(columns->text[column] + start, text.data(), text.size());
    columns->offsets[column][columns->rows + 1] = start + static_cast<int32_t>(text.size());
}

// find_field() goes forward only: as fast as it can be, when the order of fields is known.
bool in_order(ondemand::object object, plain_columns *columns)
{
    const uint32_t row = columns->rows;
    std::string_view text;

    if (object.find_field("transaction_id").get(columns->id[row]))
        return false;
    for (int i = 0; i < 3; i++) {
        if (object.find_field(texts[i]).get(text))
            return false;
        put(columns, i, text);
    }
    if (object.find_field("transaction_amount").get(columns->amount[row]))
        return false;
    for (int i = 3; i < 8; i++) {
        if (object.find_field(texts[i]).get(text))
            return false;
        put(columns, i, text);
    }
    return !object.find_field("timestamp_ms").get(columns->time_ms[row]);
}

bool any_order(ondemand::object object, plain_columns *columns)
{
    const uint32_t row = columns->rows;
    std::string_view text;

    if (object.find_field_unordered("transaction_id").get(columns->id[row]) ||
        object.find_field_unordered("transaction_amount").get(columns->amount[row]) ||
        object.find_field_unordered("timestamp_ms").get(columns->time_ms[row]))
        return false;
    for (int i = 0; i < 8; i++) {
        if (object.find_field_unordered(texts[i]).get(text))
            return false;
        put(columns, i, text);
    }
    return true;
}

template <typename Read>
int decode(const char *padded, size_t size, plain_columns *columns, Read read)
{
    ondemand::document document;
    ondemand::object object;

    if (columns->rows == PLAIN_ROWS)
        columns->rows = 0;
    if (parser.iterate(padded, size, size + simdjson::SIMDJSON_PADDING).get(document) ||
        document.get_object().get(object) || !read(object, columns))
        return 0;
    columns->rows++;
    return 1;
}

} // namespace

int simdjson_in_order(const char *padded, size_t size, plain_columns *columns)
{
    return decode(padded, size, columns, in_order);
}

int simdjson_any_order(const char *padded, size_t size, plain_columns *columns)
{
    return decode(padded, size, columns, any_order);
}
