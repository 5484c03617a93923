#include "fs/options.h"

#include "core/base/mem.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum kind {
	FLAG, TEXT, NUMBER, CHOICE, LIST,
	NAME,		/* TEXT, or without a value mount's own word */
	IGNORED, REFUSED,
};

enum { JOBS_MOST = 1024 };	/* threads */

enum { MOUNT = CMD_MOUNT | CMD_HELPER, WITH_TREE = MOUNT | CMD_LS | CMD_CAT,
       WITH_LAKE = WITH_TREE | CMD_INDEX | CMD_WHICH | CMD_STATUS, EVERY = WITH_LAKE | CMD_UMOUNT };

struct option {
	const char *name;
	char letter;
	enum kind kind;
	unsigned commands;
	size_t at;
	const char *value;	/* its name in the help; choices separated by '|' */
	const char *help;	/* NULL: not shown */
};

#define AT(field) offsetof(struct options, field)

static const struct option table[] = {
	{"foreground", 'f', FLAG, CMD_MOUNT, AT(foreground), NULL, "stay in the foreground, messages to stderr"},
	{"debug", 'd', FLAG, CMD_MOUNT, AT(debug), NULL, "print every request (and stay in the foreground)"},
	{"wait", 0, FLAG, MOUNT, AT(wait), NULL, "return when everything cheap is known"},
	{"files", 0, CHOICE, WITH_TREE, AT(files), "link|serve",
	 "weights as links into the lake (link), or their bytes"},
	{"compute", 0, CHOICE, WITH_TREE, AT(compute), "on|cached",
	 "compute what is asked for (on), or show only what is known"},
	{"queue", 0, NUMBER, MOUNT, AT(queue), "N", "computations that may wait; beyond it EBUSY (256)"},
	{"user", 0, NAME, MOUNT, AT(user), "NAME", "run as NAME from before the lake is read (as root)"},
	{"allow_other", 0, FLAG, MOUNT, AT(allow_other), NULL,
	 "let other users in; links out of the lake are refused then"},
	{"allow", 0, LIST, WITH_LAKE, AT(allow), "DIR", "links out of the lake may lead here (repeatable)"},
	{"share", 0, CHOICE, MOUNT, AT(share), "all", "lake-wide views show what not everyone may read, too"},
	{"nonempty", 0, FLAG, MOUNT, AT(nonempty), NULL, "mount over a directory that is not empty"},
	{"fsname", 0, TEXT, MOUNT, AT(fsname), "NAME", "the name in the table of mounts (the lake)"},
	{"log", 0, TEXT, MOUNT, AT(log), "FILE", "messages go here (syslog; in the foreground stderr)"},
	{"jobs", 'j', NUMBER, WITH_LAKE, AT(jobs), "N", "threads that compute (one a core)"},
	{"catalog", 0, TEXT, WITH_LAKE, AT(catalog), "FILE", "keep what is known here (~/.cache/tarn/…)"},
	{"exact", 0, FLAG, CMD_INDEX, AT(exact), NULL, "hashes and statistics of all weights, too"},
	{"quiet", 'q', FLAG, CMD_INDEX | CMD_LS | CMD_CAT | CMD_WHICH, AT(quiet), NULL, "no progress bar"},
	{"all", 'a', FLAG, CMD_LS, AT(all), NULL, "names that begin with a dot, too"},
	{"long", 'l', FLAG, CMD_LS, AT(details), NULL, "mode, owner, size, time and target of each"},
	{"recursive", 'R', FLAG, CMD_LS, AT(recursive), NULL, "directories below, too"},
	{"slash", 'p', FLAG, CMD_LS, AT(slash), NULL, "a '/' behind the names of directories"},
	{"lazy", 'z', FLAG, CMD_UMOUNT, AT(lazy), NULL, "take it away now; what is open may still be read"},
	{"help", 'h', FLAG, EVERY, AT(help), NULL, "this"},
	/* What mount(8), fstab and systemd say, and what we are anyway. */
	{"fake", 'f', FLAG, CMD_HELPER, AT(fake), NULL, NULL},
	{"sloppy", 's', FLAG, CMD_HELPER, AT(sloppy), NULL, NULL},
	{"verbose", 'v', FLAG, MOUNT, AT(verbose), NULL, NULL},
	{"no-mtab", 'n', IGNORED, MOUNT, 0, NULL, NULL},
	{"ro", 'r', IGNORED, MOUNT, 0, NULL, NULL}, {"rw", 'w', IGNORED, MOUNT, 0, NULL, NULL},
	{"auto", 0, IGNORED, MOUNT, 0, NULL, NULL}, {"noauto", 0, IGNORED, MOUNT, 0, NULL, NULL},
	{"defaults", 0, IGNORED, MOUNT, 0, NULL, NULL}, {"nofail", 0, IGNORED, MOUNT, 0, NULL, NULL},
	{"_netdev", 0, IGNORED, MOUNT, 0, NULL, NULL}, {"nouser", 0, IGNORED, MOUNT, 0, NULL, NULL},
	{"users", 0, IGNORED, MOUNT, 0, NULL, NULL}, {"owner", 0, IGNORED, MOUNT, 0, NULL, NULL},
	{"group", 0, IGNORED, MOUNT, 0, NULL, NULL}, {"async", 0, IGNORED, MOUNT, 0, NULL, NULL},
	{"sync", 0, IGNORED, MOUNT, 0, NULL, NULL}, {"dirsync", 0, IGNORED, MOUNT, 0, NULL, NULL},
	{"atime", 0, IGNORED, MOUNT, 0, NULL, NULL}, {"noatime", 0, IGNORED, MOUNT, 0, NULL, NULL},
	{"diratime", 0, IGNORED, MOUNT, 0, NULL, NULL}, {"nodiratime", 0, IGNORED, MOUNT, 0, NULL, NULL},
	{"relatime", 0, IGNORED, MOUNT, 0, NULL, NULL}, {"norelatime", 0, IGNORED, MOUNT, 0, NULL, NULL},
	{"strictatime", 0, IGNORED, MOUNT, 0, NULL, NULL}, {"lazytime", 0, IGNORED, MOUNT, 0, NULL, NULL},
	{"suid", 0, IGNORED, MOUNT, 0, NULL, NULL}, {"nosuid", 0, IGNORED, MOUNT, 0, NULL, NULL},
	{"dev", 0, IGNORED, MOUNT, 0, NULL, NULL}, {"nodev", 0, IGNORED, MOUNT, 0, NULL, NULL},
	{"exec", 0, IGNORED, MOUNT, 0, NULL, NULL}, {"noexec", 0, IGNORED, MOUNT, 0, NULL, NULL},
	{"default_permissions", 0, IGNORED, MOUNT, 0, NULL, NULL},
	{"subtype", 0, IGNORED, MOUNT, 0, "TYPE", NULL}, {"comment", 0, IGNORED, MOUNT, 0, "TEXT", NULL},
	{"type", 't', IGNORED, CMD_HELPER, 0, "TYPE", NULL},
	{"remount", 0, REFUSED, MOUNT, 0, NULL, "cannot remount: unmount it, and mount it with the new options"},
	{"allow_root", 0, REFUSED, MOUNT, 0, NULL, "allow_root is not supported: use allow_other"},
};

/* `len` bytes of name equal the option's, '-' and '_' being the same. */
static bool same_name(const char *name, size_t len, const char *option)
{
	size_t i = 0;
	for (; i < len && option[i]; i++)
		if ((name[i] == '_' ? '-' : name[i]) != (option[i] == '_' ? '-' : option[i]))
			return false;
	return i == len && !option[i];
}

static const struct option *find(enum command c, const char *name, size_t len, char letter)
{
	for (size_t i = 0; i < COUNT(table); i++)
		if (table[i].commands & c &&
		    (letter ? table[i].letter == letter : same_name(name, len, table[i].name)))
			return &table[i];
	return NULL;
}

static bool takes_value(const struct option *op)
{
	return op->value;
}

static bool is_choice(const char *choices, const char *value)
{
	size_t len = strlen(value);
	for (const char *p = choices; len && *p;) {
		size_t n = strcspn(p, "|");
		if (n == len && !memcmp(p, value, n))
			return true;
		p += n + (p[n] == '|');
	}
	return false;
}

static int set_number(const struct option *op, const char *value, unsigned *out, struct err *e)
{
	unsigned long n = 0;
	const char *p = value;
	for (; *p >= '0' && *p <= '9' && n < 100000; p++)
		n = n * 10 + (unsigned)(*p - '0');
	unsigned most = op->at == AT(jobs) ? JOBS_MOST : 100000;
	if (*p || p == value || !n || n > most)
		return err_set(e, EINVAL, "%s: expected a number from 1 to %u, found '%s'", op->name, most, value);
	*out = (unsigned)n;
	return 0;
}

static int append(const char ***list, size_t *n, size_t *cap, const char *s, struct err *e)
{
	if (mem_grow(list, cap, *n + 1))
		return err_nomem(e);
	(*list)[(*n)++] = s;
	return 0;
}

/* `value` NULL: none was given. */
static int set(struct options *o, const struct option *op, const char *value, struct err *e)
{
	void *at = (char *)o + op->at;
	if (op->kind == REFUSED)
		return err_set(e, EINVAL, "%s", op->help);
	if (op->kind == IGNORED || (op->kind == NAME && !value))
		return 0;
	if (takes_value(op) && (!value || !*value))
		return err_set(e, EINVAL, "option '%s' needs a value: %s=%s", op->name, op->name, op->value);
	if (!takes_value(op) && value)
		return err_set(e, EINVAL, "option '%s' takes no value, found '%s'", op->name, value);
	switch (op->kind) {
	case FLAG:
		*(bool *)at = true;
		return 0;
	case NUMBER:
		return set_number(op, value, at, e);
	case LIST:
		return append(&o->allow, &o->n_allow, &o->cap_allow, value, e);
	case CHOICE:
		if (!is_choice(op->value, value))
			return err_set(e, EINVAL, "%s: expected %s, found '%s'", op->name, op->value, value);
		break;
	default:
		break;
	}
	*(const char **)at = value;
	return 0;
}

static int unknown(const char *what, enum command c, struct err *e)
{
	static const char *const names[] = {"mount", "umount", "index", "ls", "cat", "which", "status", "mount"};
	return err_set(e, EINVAL, "unknown option '%s'; 'tarn %s --help' lists those there are", what,
		       names[__builtin_ctz(c)]);
}

/* One word of an -o list, which may be cut up. */
static int set_word(struct options *o, char *word, struct err *e)
{
	size_t len = strcspn(word, "=");
	const struct option *op = find(o->command, word, len, 0);
	if (!op && (o->sloppy || !strncmp(word, "x-", 2)))
		return 0;
	if (!op || (op->kind == FLAG && op->at == AT(help)))
		return unknown(word, o->command, e);
	return set(o, op, word[len] ? word + len + 1 : NULL, e);
}

/* -o a,b=c\,d: words at commas, which a backslash quotes. */
static int set_words(struct options *o, const char *list, struct err *e)
{
	char *s = mem_strdup(list);
	if (!s || mem_grow(&o->kept, &o->cap_kept, o->n_kept + 1)) {
		free(s);
		return err_nomem(e);
	}
	o->kept[o->n_kept++] = s;
	for (bool more = true; more;) {
		char *word = s, *to = s;
		for (; *s && *s != ','; s++) {
			if (*s == '\\' && (s[1] == ',' || s[1] == '\\'))
				s++;
			*to++ = *s;
		}
		more = *s == ',';
		s++;
		*to = 0;
		int r = *word ? set_word(o, word, e) : 0;
		if (r)
			return r;
	}
	return 0;
}

struct cursor { int argc; char **argv; int i; };

static const char *next(struct cursor *c)
{
	return c->i + 1 < c->argc ? c->argv[++c->i] : NULL;
}

static int parse_long(struct options *o, struct cursor *c, struct err *e)
{
	const char *name = c->argv[c->i] + 2;
	size_t len = strcspn(name, "=");
	const struct option *op = find(o->command, name, len, 0);
	if (!op)
		return unknown(c->argv[c->i], o->command, e);
	const char *value = name[len] ? name + len + 1 : NULL;
	if (!value && takes_value(op))
		value = next(c);
	if (!value && op->kind == NAME)
		return err_set(e, EINVAL, "option '%s' needs a value: --%s %s", op->name, op->name, op->value);
	return set(o, op, value, e);
}

static int parse_letters(struct options *o, struct cursor *c, struct err *e)
{
	for (const char *p = c->argv[c->i] + 1; *p; p++) {
		const struct option *op = *p == 'o' ? NULL : find(o->command, NULL, 0, *p);
		char word[3] = {'-', *p, 0};
		if (!op && *p != 'o')
			return unknown(word, o->command, e);
		if (op && !takes_value(op)) {
			int r = set(o, op, NULL, e);
			if (r)
				return r;
			continue;
		}
		const char *value = p[1] ? p + 1 : next(c);
		if (!value)
			return err_set(e, EINVAL, "option '%s' needs a value", word);
		return op ? set(o, op, value, e) : set_words(o, value, e);
	}
	return 0;
}

int options_parse(struct options *o, enum command command, int argc, char **argv, struct err *e)
{
	*o = (struct options){.command = command};
	struct cursor c = {argc, argv, 1};
	bool only_args = false;
	for (; c.i < argc; c.i++) {
		const char *a = argv[c.i];
		int r;
		if (only_args || a[0] != '-' || !a[1])
			r = append(&o->args, &o->n_args, &o->cap_args, a, e);
		else if (!strcmp(a, "--"))
			r = 0, only_args = true;
		else if (a[1] == '-')
			r = parse_long(o, &c, e);
		else
			r = parse_letters(o, &c, e);
		if (r)
			return r;
	}
	return 0;
}

void options_release(struct options *o)
{
	for (size_t i = 0; i < o->n_kept; i++)
		free(o->kept[i]);
	free(o->kept);
	free(o->allow);
	free(o->args);
	*o = (struct options){0};
}

void options_print(enum command command)
{
	for (size_t i = 0; i < COUNT(table); i++) {
		const struct option *op = &table[i];
		if (!(op->commands & command) || !op->help || op->kind == REFUSED)
			continue;
		char left[64], letter[8] = "    ";
		if (op->letter)
			snprintf(letter, sizeof letter, "-%c, ", op->letter);
		snprintf(left, sizeof left, "%s--%s%s%s", letter, op->name, op->value ? " " : "",
			 op->value ? op->value : "");
		for (char *p = left; *p; p++)
			if (*p == '_')
				*p = '-';
		printf("  %-30s %s\n", left, op->help);
	}
}

static int add_dir(const char *what, const char *path, char ***lakes, size_t *n, struct err *e)
{
	struct stat st;
	char *real = realpath(path, NULL);
	if (!real)
		return err_set(e, errno, "cannot open the %s '%s': %s", what, path, strerror(errno));
	if (stat(real, &st) || !S_ISDIR(st.st_mode)) {
		free(real);
		return err_set(e, ENOTDIR, "cannot open the %s '%s': expected a directory, found a file; name the "
			       "directory it is in", what, path);
	}
	char **more = mem_realloc(*lakes, (*n + 1) * sizeof *more);
	if (!more) {
		free(real);
		return err_nomem(e);
	}
	*lakes = more;
	more[(*n)++] = real;
	return 0;
}

static int add_dirs(const char *what, const char *arg, char ***lakes, size_t *n, struct err *e)
{
	struct stat st;
	if (!stat(arg, &st) || !strchr(arg, ':'))
		return add_dir(what, arg, lakes, n, e);
	while (*arg) {
		size_t len = strcspn(arg, ":");
		cleanup_free char *part = mem_strndup(arg, len);
		int r = !part ? err_nomem(e) : len ? add_dir(what, part, lakes, n, e) : 0;
		if (r)
			return r;
		arg += len + (arg[len] == ':');
	}
	return *n ? 0 : err_set(e, EINVAL, "expected the directory of a lake, found ':'");
}

int options_lakes(const char *arg, char ***lakes, size_t *n, struct err *e)
{
	return add_dirs("lake", arg, lakes, n, e);
}

int options_allowed(const struct options *o, char ***dirs, size_t *n, struct err *e)
{
	int r = 0;
	for (size_t i = 0; !r && i < o->n_allow; i++)
		if ((r = add_dirs("directory", o->allow[i], dirs, n, e)))
			err_prefix(e, "allow=%.60s: ", o->allow[i]);
	return r;
}

int options_outside(const char *what, const char *path, char *const *lakes, size_t n, struct err *e)
{
	char real[PATH_MAX];
	const char *slash = path ? strrchr(path, '/') : NULL;
	cleanup_free char *dir = slash ? mem_strndup(path, MAX((size_t)(slash - path), (size_t)1)) : mem_strdup(".");
	if (!path || !dir || !realpath(dir, real))
		return 0;	/* opening it says what is wrong */
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(lakes[i]);
		if (len == 1 || (!strncmp(real, lakes[i], len) && (!real[len] || real[len] == '/')))
			return err_set(e, EINVAL, "%s=%.150s: it lies in the lake '%.150s', where nothing is ever "
				       "written; choose another "
				       "place", what, path, lakes[i]);
	}
	return 0;
}

void options_free_lakes(char **lakes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(lakes[i]);
	free(lakes);
}
