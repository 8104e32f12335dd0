/* SPDX-License-Identifier: Apache-2.0 */
/* test_module.c - loading apps: what each wrong file, symbol and version is told.
 *
 * The shared objects are made here by the C compiler; without one those tests are skipped. */
#include "test.h"

#include <elf.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sabot/run.h>

struct fixture {
    char folder[64];
    char old_folder[512];
    bool has_compiler;
    sabot_error error;
};

static int run(char *const *arguments)
{
    pid_t child;
    int status = -1;

    if (posix_spawnp(&child, arguments[0], NULL, NULL, arguments, environ) != 0 ||
        waitpid(child, &status, 0) != child)
        return -1;
    return status;
}

static void write_file(const char *path, const char *text, size_t size)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* An object `app` for each way of being none. */
static const char source[] =
    "#include <stdint.h>\n"
    "struct entry { char magic[8]; uint32_t version, size; const char *name; int (*build)(void); "
    "};\n"
    "static int build(void) { return 0; }\n"
    "#define MAGIC {'S','A','B','O','T','A','P','P'}\n"
    "const struct entry good = {MAGIC, 1, sizeof(struct entry), \"good\", build};\n"
    "const struct entry newer = {MAGIC, 2, sizeof(struct entry) + 8, \"newer\", build};\n"
    "const struct entry larger = {MAGIC, 1, sizeof(struct entry) + 8, \"larger\", build};\n"
    "const struct entry nameless = {MAGIC, 1, sizeof(struct entry), 0, build};\n"
    "const struct entry bodiless = {MAGIC, 1, sizeof(struct entry), \"bodiless\", 0};\n"
    "const struct entry other = {\"sabotapp\", 1, sizeof(struct entry), \"other\", build};\n"
    "const char small[2] = \"SA\";\n"
    "const char cut[16] = {'S','A','B','O','T','A','P','P', 1, 0, 0, 0, 32, 0, 0, 0};\n"
    "int printf(const char *, ...);\n"
    "int function(void) { return printf(\"7\"); }\n";

static int make_fixture(void **state)
{
    char *const compile[] = {(char *)"cc", (char *)"-shared", (char *)"-fPIC",
                             (char *)"-o", (char *)"app.so",  (char *)"app.c",
                             NULL};
    char *const compile_broken[] = {(char *)"cc", (char *)"-shared",   (char *)"-fPIC",
                                    (char *)"-o", (char *)"broken.so", (char *)"broken.c",
                                    NULL};
    static const char broken[] = "void nowhere(void); void use(void) { nowhere(); }\n";
    struct fixture *fixture = calloc(1, sizeof *fixture);

    (void)snprintf(fixture->folder, sizeof fixture->folder, "/tmp/sabot_module.XXXXXX");
    if (mkdtemp(fixture->folder) == NULL ||
        getcwd(fixture->old_folder, sizeof fixture->old_folder) == NULL ||
        chdir(fixture->folder) != 0)
        return -1;
    write_file("app.c", source, sizeof source - 1);
    write_file("broken.c", broken, sizeof broken - 1);
    write_file("text.so", "#!/bin/sh\n", 10);
    write_file("empty.so", "", 0);
    write_file("cut.so",
               "\x7f"
               "ELF\x02\x01\x01",
               7);
    if (mkdir("folder.so", 0700) != 0)
        return -1;
    fixture->has_compiler = run(compile) == 0 && run(compile_broken) == 0;
    *state = fixture;
    return 0;
}

static int free_fixture(void **state)
{
    static const char *const files[] = {"app.c",  "broken.c", "text.so",  "empty.so",
                                        "cut.so", "app.so",   "broken.so"};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        (void)unlink(files[i]);
    (void)rmdir("folder.so");
    if (chdir(fixture->old_folder) != 0)
        return -1;
    (void)rmdir(fixture->folder);
    free(fixture);
    return 0;
}

static void assert_refused(struct fixture *fixture,
                           const char *spec,
                           sabot_status status,
                           const char *text)
{
    sabot_module *module = (sabot_module *)fixture;
    const sabot_app_entry *entry = (const sabot_app_entry *)(const void *)fixture;

    assert_int_equal(sabot_module_open(spec, &module, &entry, &fixture->error), status);
    assert_null(module);
    assert_null(entry);
    assert_int_equal(fixture->error.status, status);
    assert_null(strchr(fixture->error.text, '\n'));
    if (strstr(fixture->error.text, text) == NULL)
        fail_msg("%s: \"%s\" is not in \"%s\"", spec, text, fixture->error.text);
}

static void an_app_is_named_by_path_and_symbol(void **state)
{
    static const char *const specs[] = {"", ":", "app.so", "app.so:", ":app", "a:b/app.so"};

    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++)
        assert_refused(*state, specs[i], SABOT_ERR_CONFIG, "PATH:SYMBOL");
}

static void a_file_that_is_no_shared_object_is_told_apart(void **state)
{
    assert_refused(*state, "missing.so:app", SABOT_ERR_NOT_FOUND, "missing.so: no such file");
    assert_refused(*state, "./missing/x.so:app", SABOT_ERR_NOT_FOUND, "./missing/x.so: ");
    assert_refused(*state, "folder.so:app", SABOT_ERR_FORMAT, "is a directory");
    assert_refused(*state, "/dev/null:app", SABOT_ERR_FORMAT, "is not a regular file");
    assert_refused(*state, "text.so:app", SABOT_ERR_FORMAT, "is not a shared object");
    assert_refused(*state, "empty.so:app", SABOT_ERR_FORMAT, "is not a shared object");
    assert_refused(*state, "cut.so:app", SABOT_ERR_FORMAT, "cut.so: cannot be loaded: ");
}

/* A header whose one part to be loaded is said to be there, and is not. */
static void write_elf(size_t file_size, uint64_t part_offset, uint64_t part_size)
{
    struct {
        Elf64_Ehdr header;
        Elf64_Phdr parts[2];
        char rest[64];
    } file = {
        .header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                   .e_type = ET_DYN,
                   .e_machine = EM_X86_64,
                   .e_phoff = sizeof(Elf64_Ehdr),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = 2},
        .parts = {{.p_type = PT_NOTE, .p_offset = UINT32_MAX, .p_filesz = 1},
                  {.p_type = PT_LOAD, .p_offset = part_offset, .p_filesz = part_size}},
    };

    assert_true(file_size <= sizeof file);
    write_file("part.so", (const char *)&file, file_size);
}

static void an_object_that_was_cut_off_is_not_loaded(void **state)
{
    const size_t whole = sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr);

    write_elf(whole, 0, whole + 1);
    assert_refused(*state, "part.so:app", SABOT_ERR_FORMAT, "part.so: is cut off: of its 2 parts");
    write_elf(whole, whole + 1, 0);
    assert_refused(*state, "part.so:app", SABOT_ERR_FORMAT, "the one number 2 is not all in its");
    write_elf(whole, whole - 8, 9);
    assert_refused(*state, "part.so:app", SABOT_ERR_FORMAT, "is cut off");
    write_elf(whole, UINT64_MAX, 2);
    assert_refused(*state, "part.so:app", SABOT_ERR_FORMAT, "is cut off");
    write_elf(whole - 1, 0, 8);
    assert_refused(*state, "part.so:app", SABOT_ERR_FORMAT, "the one number 2 is not all in its");
    write_elf(sizeof(Elf64_Ehdr), 0, 8);
    assert_refused(*state, "part.so:app", SABOT_ERR_FORMAT, "the one number 1 is not all in its");
    write_elf(sizeof(Elf64_Ehdr) - 1, 0, 8);
    assert_refused(*state, "part.so:app", SABOT_ERR_FORMAT, "part.so: cannot be loaded: ");
    assert_int_equal(unlink("part.so"), 0);
}

static void libraries_are_not_searched(void **state)
{
    assert_refused(*state, "libc.so.6:printf", SABOT_ERR_NOT_FOUND, "libc.so.6: ");
}

static void a_program_is_not_loaded(void **state)
{
    assert_refused(*state, "/proc/self/exe:main", SABOT_ERR_FORMAT, "cannot be loaded: ");
}

static void needs_compiler(void **state)
{
    if (!((struct fixture *)*state)->has_compiler)
        skip();
}

static void an_app_is_loaded_by_a_bare_file_name(void **state)
{
    struct fixture *fixture = *state;
    sabot_module *module;
    const sabot_app_entry *entry;

    needs_compiler(state);
    assert_int_equal(sabot_module_open("app.so:good", &module, &entry, &fixture->error), SABOT_OK);
    assert_string_equal(entry->name, "good");
    sabot_module_close(module);
    sabot_module_close(NULL);
}

static void the_last_colon_splits(void **state)
{
    struct fixture *fixture = *state;
    sabot_module *module;
    const sabot_app_entry *entry;

    needs_compiler(state);
    assert_int_equal(rename("app.so", "a:b.so"), 0);
    const sabot_status status = sabot_module_open("a:b.so:good", &module, &entry, &fixture->error);
    assert_int_equal(rename("a:b.so", "app.so"), 0);
    assert_int_equal(status, SABOT_OK);
    sabot_module_close(module);
}

static void a_symbol_that_is_no_app_is_told_apart(void **state)
{
    needs_compiler(state);
    assert_refused(*state, "app.so:missing", SABOT_ERR_NOT_FOUND, "has no symbol \"missing\"");
    assert_refused(*state, "app.so:other", SABOT_ERR_FORMAT, "\"other\" is not a Sabot app");
    assert_refused(*state, "app.so:small", SABOT_ERR_FORMAT, "\"small\" is not a Sabot app");
    assert_refused(*state, "app.so:function", SABOT_ERR_FORMAT, "\"function\" is not a Sabot app");
    assert_refused(*state, "app.so:printf", SABOT_ERR_FORMAT, "\"printf\" is not a Sabot app");
    assert_refused(*state, "app.so:nameless", SABOT_ERR_FORMAT, "has no name");
    assert_refused(*state, "app.so:bodiless", SABOT_ERR_FORMAT, "no function that builds it");
}

static void an_app_of_another_version_is_refused(void **state)
{
    needs_compiler(state);
    assert_refused(*state, "app.so:newer", SABOT_ERR_ABI, "built for version 2");
    assert_refused(*state, "app.so:larger", SABOT_ERR_ABI, "built for version 1");
    assert_refused(*state, "app.so:cut", SABOT_ERR_ABI, "build it again");
}

static void the_loader_says_what_is_missing(void **state)
{
    needs_compiler(state);
    /* A shared object is linked without all of its symbols: only loading can tell. */
    assert_refused(*state, "broken.so:use", SABOT_ERR_FORMAT,
                   "broken.so: cannot be loaded: undefined symbol: nowhere");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_app_is_named_by_path_and_symbol),
        cmocka_unit_test(a_file_that_is_no_shared_object_is_told_apart),
        cmocka_unit_test(an_object_that_was_cut_off_is_not_loaded),
        cmocka_unit_test(libraries_are_not_searched),
        cmocka_unit_test(a_program_is_not_loaded),
        cmocka_unit_test(an_app_is_loaded_by_a_bare_file_name),
        cmocka_unit_test(the_last_colon_splits),
        cmocka_unit_test(a_symbol_that_is_no_app_is_told_apart),
        cmocka_unit_test(an_app_of_another_version_is_refused),
        cmocka_unit_test(the_loader_says_what_is_missing),
    };

    return cmocka_run_group_tests(tests, make_fixture, free_fixture);
}
