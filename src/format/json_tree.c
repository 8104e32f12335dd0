/* SPDX-License-Identifier: Apache-2.0 */
/* json_tree.c - the paths of a schema as a tree of objects and members.
 *
 * Made once per decoder or encoder. "card.country" and "card.number" become one member "card" of
 * the root, whose object has the members "country" and "number". A schema promises that no path
 * lies inside of another one, so a member is either a field or nested, never both.
 *
 * Memory: all of it in the tree's arena. Threads: the tree's owner; decoding changes the links. */
#include "format/json_block.h"

#include "format/json.h"

const struct sb_json_member sb_json_stranger = {.type = SB_JSON_STRANGER};

static struct sb_json_link *make_links(struct sb_arena *arena, size_t count)
{
    struct sb_json_link *links = sb_arena_alloc(arena, count * sizeof *links);

    for (size_t i = 0; links != NULL && i < count; i++)
        links[i].size = SB_JSON_LINK_NONE;
    return links;
}

static struct sb_json_object *add_object(struct sb_json_tree *tree)
{
    struct sb_json_object *object = sb_arena_alloc(&tree->arena, sizeof *object);

    if (object == NULL)
        return NULL;
    object->first = make_links(&tree->arena, 1);
    object->strangers = make_links(&tree->arena, SB_JSON_STRANGERS);
    if (object->first == NULL || object->strangers == NULL)
        return NULL;
    object->next = tree->objects;
    tree->objects = object;
    return object;
}

static bool has_key(const struct sb_json_member *member, const void *key, size_t size)
{
    return member->key_size == size && sb_json_same((const uint8_t *)member->key, key, size);
}

/* The member of `object` for one step of a field's path, made when it isn't there. NULL: no memory.
 */
static struct sb_json_member *step_into(struct sb_json_tree *tree,
                                        struct sb_json_object *object,
                                        const struct sb_schema_field *field,
                                        uint32_t step,
                                        size_t path_size)
{
    struct sb_json_member **end = &object->members;
    struct sb_json_member *member;

    for (; *end != NULL; end = &(*end)->sibling)
        if (has_key(*end, field->steps[step], field->step_sizes[step]))
            return *end;
    member = sb_arena_alloc(&tree->arena, sizeof *member);
    if (member == NULL)
        return NULL;
    member->link = make_links(&tree->arena, 1);
    if (member->link == NULL)
        return NULL;
    member->key = field->steps[step];
    member->key_size = field->step_sizes[step];
    member->path = field->path;
    member->path_size = path_size;
    *end = member;
    object->member_count++;
    return member;
}

static sabot_status add_field(struct sb_json_tree *tree,
                              const struct sb_schema_field *field,
                              uint32_t index)
{
    struct sb_json_object *object = tree->root;
    size_t path_size = 0;

    for (uint32_t step = 0; step < field->step_count; step++) {
        struct sb_json_member *member;

        path_size += field->step_sizes[step] + (step > 0);
        member = step_into(tree, object, field, step, path_size);
        if (member == NULL)
            return SABOT_ERR_MEMORY;
        if (step + 1 == field->step_count) {
            SB_ASSERT(member->object == NULL);
            member->type = (uint32_t)field->type;
            member->field = index;
            return SABOT_OK;
        }
        SB_ASSERT(member->type == SB_JSON_NESTED);
        if (member->object == NULL) {
            member->field = index;
            member->object = add_object(tree);
        }
        object = member->object;
        if (object == NULL)
            return SABOT_ERR_MEMORY;
    }
    return SABOT_OK;
}

/* --- Finding by key --------------------------------------------------------------------------- */

/* Up to 8 bytes from each end: field names that agree in all of that are rare, and only slow. */
static uint32_t hash_key(const uint8_t *key, size_t size)
{
    uint64_t head = 0;
    uint64_t tail = 0;

    if (size >= 8) {
        memcpy(&head, key, 8);
        memcpy(&tail, key + size - 8, 8);
    } else if (size >= 4) {
        memcpy(&head, key, 4);
        memcpy(&tail, key + size - 4, 4);
    } else if (size > 0) {
        head = (uint64_t)key[0] << 16 | (uint64_t)key[size / 2] << 8 | key[size - 1];
    }
    head = (head ^ size ^ tail << 23 ^ tail >> 41) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(head >> 32);
}

static sabot_status make_table(struct sb_json_tree *tree, struct sb_json_object *object)
{
    uint32_t size = 4;

    while (size < object->member_count * 2 + 1)
        size *= 2;
    object->table_mask = size - 1;
    object->table = sb_arena_alloc(&tree->arena, size * sizeof(struct sb_json_member *));
    if (object->table == NULL)
        return SABOT_ERR_MEMORY;
    for (struct sb_json_member *member = object->members; member != NULL;
         member = member->sibling) {
        uint32_t slot = hash_key((const uint8_t *)member->key, member->key_size);

        while (object->table[slot & object->table_mask] != NULL)
            slot++;
        object->table[slot & object->table_mask] = member;
    }
    return SABOT_OK;
}

const struct sb_json_member *sb_json_tree_find(const struct sb_json_object *object,
                                               const uint8_t *key,
                                               size_t size)
{
    for (uint32_t slot = hash_key(key, size);; slot++) {
        const struct sb_json_member *member = object->table[slot & object->table_mask];

        if (member == NULL)
            return &sb_json_stranger;
        if (has_key(member, key, size))
            return member;
    }
}

/* --- All of it -------------------------------------------------------------------------------- */

static sabot_status build(struct sb_json_tree *tree, const struct sb_schema *schema)
{
    tree->root = add_object(tree);
    if (tree->root == NULL)
        return SABOT_ERR_MEMORY;
    for (uint32_t i = 0; i < schema->field_count; i++)
        SABOT_TRY(add_field(tree, &schema->fields[i], i));
    for (struct sb_json_object *object = tree->objects; object != NULL; object = object->next)
        SABOT_TRY(make_table(tree, object));
    return SABOT_OK;
}

sabot_status sb_json_tree_init(struct sb_json_tree *tree,
                               const struct sb_env *env,
                               const struct sb_schema *schema)
{
    sabot_status status;

    *tree = (struct sb_json_tree){0};
    sb_arena_init(&tree->arena, env);
    status = build(tree, schema);
    if (status != SABOT_OK)
        sb_json_tree_reset(tree);
    return status;
}

void sb_json_tree_reset(struct sb_json_tree *tree)
{
    sb_arena_reset(&tree->arena);
    tree->root = NULL;
    tree->objects = NULL;
}
