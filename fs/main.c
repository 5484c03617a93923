/*
 * tarn: which command is meant, its help, and how errors are said.
 */
#include "fs/commands.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct command_row {
	const char *name;
	enum command command;
	int (*run)(struct options *o);
	const char *usage, *help;
};

static const struct command_row commands[] = {
	{"mount", CMD_MOUNT, command_mount, "LAKE... MOUNTPOINT [-f] [-o OPTIONS]",
	 "serve the tree of a lake at MOUNTPOINT"},
	{"umount", CMD_UMOUNT, command_umount, "MOUNTPOINT", "take it away"},
	{"index", CMD_INDEX, command_index, "LAKE... [--jobs N] [--exact]",
	 "do ahead of time what the mount would do on demand"},
	{"ls", CMD_LS, command_ls, "LAKE [PATH...]", "list the tree without a mount"},
	{"cat", CMD_CAT, command_cat, "LAKE PATH...", "print files of the tree without a mount"},
	{"which", CMD_WHICH, command_which, "LAKE FILE...", "the model that a file belongs to"},
	{"status", CMD_STATUS, command_status, "LAKE|MOUNTPOINT", "what is indexed, pending, running and failed"},
};
static const struct command_row helper = {"mount", CMD_HELPER, command_mount, "LAKE[:LAKE] MOUNTPOINT [-o OPTIONS]",
					  ""};

int complain(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fputs("tarn: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	return 1;
}

static const struct command_row *row_of(enum command c)
{
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (commands[i].command == c)
			return &commands[i];
	return &helper;
}

int misused(const struct options *o, const char *fmt, ...)
{
	const struct command_row *c = row_of(o->command);
	va_list ap;
	va_start(ap, fmt);
	fprintf(stderr, "tarn %s: ", c->name);
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\nusage: tarn %s %s\n", c->name, c->usage);
	va_end(ap);
	return EXIT_USAGE;
}

static int help(void)
{
	puts("tarn shows a directory of models as a tree of files that answer questions about them.\n");
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		printf("  tarn %-6s %-38s %s\n", commands[i].name, commands[i].usage, commands[i].help);
	puts("  tarn --version\n\n"
	     "LAKE is a directory of model files, or several joined by ':'. Nothing is ever written there.\n"
	     "'tarn COMMAND --help' lists its options; 'man tarn' says more.\n\n"
	     "  mkdir -p ~/lake && tarn mount ~/.cache/huggingface/hub ~/lake && less ~/lake/README");
	return 0;
}

static int command_help(const struct command_row *c)
{
	printf("usage: tarn %s %s\n%s%s\n", c->name, c->usage, c->help, *c->help ? "\n" : "");
	options_print(c->command);
	if (c->command & (CMD_MOUNT | CMD_HELPER))
		puts("\nEvery long option is also an -o option: -o files=serve,compute=cached");
	return 0;
}

/* What could not be written was not done. */
static int flushed(int status)
{
	return fflush(stdout) || ferror(stdout) ? complain("cannot write: %s", strerror(errno)) : status;
}

static bool is_version(const char *word)
{
	return !strcmp(word, "--version") || !strcmp(word, "-V");
}

static int version(void)
{
	printf("tarn %s\n", TARN_VERSION);
	return flushed(0);
}

static const struct command_row *named(const char *name)
{
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static int run(const struct command_row *c, int argc, char **argv)
{
	struct options o;
	struct err e = ERR_INIT;
	int status;
	if (options_parse(&o, c->command, argc, argv, &e))
		status = e.code == ENOMEM ? complain("%s", e.msg) : misused(&o, "%s", e.msg);
	else if (o.help)
		status = command_help(c);
	else
		status = c->run(&o);
	options_release(&o);
	return flushed(status);
}

/* mount(8) runs mount.fuse.tarn; mount.fuse3 runs `tarn LAKE MOUNTPOINT -o …`. */
static bool is_helper(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/'), *name = slash ? slash + 1 : argv[0];
	return !strncmp(name, "mount.", 6) || (argc >= 3 && argv[1][0] == '/');
}

int main(int argc, char **argv)
{
	if (argc < 1)
		return EXIT_USAGE;
	if (is_helper(argc, argv))
		return run(&helper, argc, argv);
	const char *name = argc > 1 ? argv[1] : "", *second = argc > 2 ? argv[2] : "";
	if (named(name))
		return is_version(second) ? version() : run(named(name), argc - 1, argv + 1);
	if (is_version(name) || !strcmp(name, "version"))
		return version();
	if (!strcmp(name, "help") && named(second))
		return flushed(command_help(named(second)));
	if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help"))
		return flushed(help());
	if (*name)
		complain("unknown command '%s'; 'tarn --help' lists those there are", name);
	else
		fputs("usage: tarn COMMAND ...; 'tarn --help' says more\n", stderr);
	return EXIT_USAGE;
}
