/* aval train --save: what is written, what is refused, and what is left of the file that was there. */
#include "program.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(checkpoint_files, .init = program_begin, .fini = program_end);

static mode_t mode_of(const char *file)
{
    struct stat about;
    cr_assert_eq(stat(file, &about), 0, "%s", file);
    return about.st_mode;
}

/* Whether the file, as text, has the part: a checkpoint's header is JSON. */
static bool has(const char *file, const char *part)
{
    char command[256];
    snprintf(command, sizeof command, "grep -aqF '%s' %s", part, file);
    return system(command) == 0;
}

Test(checkpoint_files, what_is_no_regular_file_is_refused_and_stays)
{
    cr_assert_eq(mkfifo("pipe", 0600), 0);
    cr_assert_eq(mkdir("folder", 0700), 0);
    cr_assert_eq(symlink("nothing", "dangling"), 0);
    program_expect_refused("train linear --quiet --save pipe", 2, "pipe is a pipe");
    program_expect_refused("train linear --quiet --save folder", 2, "folder is a folder");
    program_expect_refused("train linear --quiet --save dangling", 2, "link");
    program_expect_refused("train linear --quiet --save ''", 2, "name of a file");
    cr_expect(S_ISFIFO(mode_of("pipe")));
    cr_expect(S_ISDIR(mode_of("folder")));
}

Test(checkpoint_files, a_link_is_followed_and_the_mode_kept)
{
    program_write("private.st", "x", 1);
    cr_assert_eq(chmod("private.st", 0600), 0);
    cr_assert_eq(symlink("private.st", "link.st"), 0);
    program_expect_ok("train linear --quiet --epochs 1 --save link.st");
    struct stat about;
    cr_assert_eq(lstat("link.st", &about), 0);
    cr_expect(S_ISLNK(about.st_mode));
    cr_expect_eq(mode_of("private.st") & 07777, 0600);
    program_expect_ok("train --quiet --epochs 2 --resume private.st");
}

/* 1,000,000 epochs take hours: the answer comes before them. */
Test(checkpoint_files, a_place_that_cannot_be_written_is_found_before_training)
{
    program_expect_refused("train linear --quiet --epochs 1000000 --save nowhere/a.st", 2, "nowhere/a.st");
}

Test(checkpoint_files, leftovers_of_dead_processes_are_removed_and_others_stay)
{
    pid_t child = fork();
    if (child == 0) _exit(0);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    char dead[64], alive[64];
    snprintf(dead, sizeof dead, "a.st.%ld-3.part", (long)child);
    snprintf(alive, sizeof alive, "a.st.%ld-3.part", (long)getpid());
    program_write(dead, "x", 1);
    program_write(alive, "x", 1);
    program_write("a.st.backup.part", "x", 1);
    program_expect_ok("train linear --quiet --epochs 1 --save a.st");
    cr_expect_neq(access(dead, F_OK), 0);
    cr_expect_eq(access(alive, F_OK), 0);
    cr_expect_eq(access("a.st.backup.part", F_OK), 0);
}

Test(checkpoint_files, a_zero_that_is_given_replaces_what_the_checkpoint_has)
{
    program_expect_ok("train mlp --layers 8 --quiet --epochs 1 --dropout 0.2 --weight-decay 0.001 --nesterov --save a.st");
    cr_expect(has("a.st", "nesterov=1\\nweight_decay=0.001\\ndropout=0.2"));
    program_expect_ok("train --quiet --epochs 2 --dropout 0 --weight-decay 0 --no-nesterov --momentum 0 --resume a.st --save b.st");
    cr_expect(has("b.st", "momentum=0\\nnesterov=0\\nweight_decay=0\\ndropout=0\\n"));
    cr_expect(has("b.st", "\"pixels_divided_by\":\"16\""));
}

Test(checkpoint_files, a_finished_training_is_saved_too_and_says_that_nothing_was_left_to_do)
{
    program_expect_ok("train linear --quiet --epochs 2 --save a.st");
    const outcome *o = program_expect_ok("train --epochs 1 --resume a.st --save b.st");
    cr_expect_not_null(strstr(o->out, "nothing was left to train"), "%s", o->out);
    cr_expect_not_null(strstr(o->out, "saved to b.st"), "%s", o->out);
    program_expect_ok("train --quiet --epochs 3 --resume b.st");
}
