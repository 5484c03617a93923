/*
 * Tries every system call that changes a file system below a directory, and says what each was told.
 *
 *     mutate DIR FILE LINK: names below DIR: an existing file, an existing link, a new name
 *
 * Prints "call errno-name" a line. Exits 1 when one of them succeeds.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

static int status;

static void told(const char *call, long r)
{
	if (r >= 0) {
		printf("%s succeeded\n", call);
		status = 1;
	} else {
		const char *name = strerrorname_np(errno);
		printf("%s %s\n", call, name ? name : "?");
	}
}

static void names(const char *file, const char *dir, const char *new)
{
	told("open-write", open(file, O_WRONLY));
	told("open-rdwr", open(file, O_RDWR));
	told("open-append", open(file, O_WRONLY | O_APPEND));
	told("open-truncate", open(file, O_RDONLY | O_TRUNC));
	told("open-create", open(new, O_WRONLY | O_CREAT, 0644));
	told("open-create-excl", open(new, O_WRONLY | O_CREAT | O_EXCL, 0644));
	told("open-tmpfile", open(dir, O_RDWR | O_TMPFILE, 0644));
	told("creat", creat(new, 0644));
	told("truncate", truncate(file, 0));
	told("mkdir", mkdir(new, 0755));
	told("mknod", mknod(new, S_IFREG | 0644, 0));
	told("mkfifo", mkfifo(new, 0644));
	told("unlink", unlink(file));
	told("rmdir", rmdir(dir));
	told("symlink", symlink("x", new));
	told("link", link(file, new));
	told("rename", rename(file, new));
	told("renameat2-exchange", renameat2(AT_FDCWD, file, AT_FDCWD, dir, RENAME_EXCHANGE));
}

static void attributes(const char *file, const char *dir)
{
	const struct timeval times[2] = {{1, 0}, {1, 0}};
	told("chmod", chmod(file, 0600));
	told("chmod-dir", chmod(dir, 0700));
	told("chown", chown(file, 1, 1));
	told("lchown", lchown(file, 1, 1));
	told("utimes", utimes(file, times));
	told("utimensat-now", utimensat(AT_FDCWD, file, NULL, 0));
	told("setxattr", setxattr(file, "user.x", "y", 1, 0));
	told("removexattr", removexattr(file, "user.x"));
	told("access-write", access(file, W_OK));
	told("access-write-dir", access(dir, W_OK));
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	snprintf(a.sun_path, sizeof a.sun_path, "%.90s/sock", dir);
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	told("bind-socket", bind(s, (struct sockaddr *)&a, sizeof a));
	close(s);
}

static void descriptors(const char *file)
{
	int fd = open(file, O_RDONLY), flags = 0;
	if (fd < 0) {
		told("open-read", fd);
		status = 1;
		return;
	}
	const struct timespec times[2] = {{1, 0}, {1, 0}};
	told("fchmod", fchmod(fd, 0600));
	told("fchown", fchown(fd, 1, 1));
	told("futimens", futimens(fd, times));
	told("fsetxattr", fsetxattr(fd, "user.x", "y", 1, 0));
	told("write", write(fd, "x", 1));
	told("ftruncate", ftruncate(fd, 0));
	told("fallocate", fallocate(fd, 0, 0, 10));
	told("copy_file_range", syscall(SYS_copy_file_range, fd, NULL, fd, NULL, 1, 0));
	told("ioctl-setflags", ioctl(fd, FS_IOC_SETFLAGS, &flags));
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	names(argv[2], argv[1], argv[3]);
	attributes(argv[2], argv[1]);
	descriptors(argv[2]);
	return status;
}
