/*
 * A floor for the cost of any proxy: a relay on epoll that moves bytes between a client and a connection of its own to the server, and
 * knows nothing else.
 *
 *     relay LISTEN_PORT SERVER_PORT
 *
 * Both ports are of 127.0.0.1. It reads what is there in one call and writes it in one call; what a socket does not take is kept, and its
 * other side is not read until it is gone.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct side {
	int fd;
	struct side *peer;
	char *kept; /* bytes that fd has not taken yet */
	size_t length;
	int ended;
	struct side *next; /* among those to be freed after this turn */
};

static int epoll;
static struct side *ended;
static char buffer[16384];

static struct sockaddr_in local(const char *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return at;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void watch(struct side *s, int operation)
{
	struct epoll_event event = {.data.ptr = s};

	event.events = (s->peer->kept ? 0 : EPOLLIN) | (s->kept ? EPOLLOUT : 0);
	if (epoll_ctl(epoll, operation, s->fd, &event) < 0)
		fail("epoll_ctl");
}

static struct side *side(int fd)
{
	struct side *s = calloc(1, sizeof *s);
	int one = 1;

	if (!s)
		fail("calloc");
	s->fd = fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	return s;
}

static void end(struct side *s)
{
	if (s->ended)
		return;
	s->ended = 1;
	close(s->fd);
	s->next = ended;
	ended = s;
	end(s->peer);
}

static void begin(int client, const struct sockaddr_in *server)
{
	int there = socket(AF_INET, SOCK_STREAM, 0);
	struct side *a, *b;

	if (there < 0 || connect(there, (const struct sockaddr *)server, sizeof *server) < 0) {
		perror("connect");
		close(client);
		return;
	}
	a = side(client);
	b = side(there);
	a->peer = b;
	b->peer = a;
	watch(a, EPOLL_CTL_ADD);
	watch(b, EPOLL_CTL_ADD);
}

/* keep puts aside what a side did not take, and has its peer read no more. */
static void keep(struct side *s, const char *p, size_t n)
{
	s->kept = malloc(n);
	if (!s->kept)
		fail("malloc");
	memcpy(s->kept, p, n);
	s->length = n;
	watch(s, EPOLL_CTL_MOD);
	watch(s->peer, EPOLL_CTL_MOD);
}

static void relay(struct side *s)
{
	ssize_t n = recv(s->fd, buffer, sizeof buffer, 0), m;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		end(s);
		return;
	}
	m = send(s->peer->fd, buffer, n, MSG_NOSIGNAL);
	if (m < 0 && errno != EAGAIN)
		end(s);
	else if (m < n)
		keep(s->peer, buffer + (m < 0 ? 0 : m), n - (m < 0 ? 0 : m));
}

static void drain(struct side *s)
{
	ssize_t m = send(s->fd, s->kept, s->length, MSG_NOSIGNAL);

	if (m < 0 && errno != EAGAIN) {
		end(s);
		return;
	}
	if (m <= 0)
		return;
	s->length -= m;
	memmove(s->kept, s->kept + m, s->length);
	if (s->length == 0) {
		free(s->kept);
		s->kept = NULL;
		watch(s, EPOLL_CTL_MOD);
		watch(s->peer, EPOLL_CTL_MOD);
	}
}

static void turn(int listener, const struct sockaddr_in *server)
{
	struct epoll_event events[128];
	int n = epoll_wait(epoll, events, 128, -1), i;

	for (i = 0; i < n; i++) {
		struct side *s = events[i].data.ptr;
		int client;

		if (!s) {
			client = accept(listener, NULL, NULL);
			if (client >= 0)
				begin(client, server);
			continue;
		}
		if (!s->ended && s->kept && events[i].events & EPOLLOUT)
			drain(s);
		if (!s->ended && !s->peer->kept && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			relay(s);
	}
	while (ended) {
		struct side *s = ended;

		ended = s->next;
		free(s->kept);
		free(s);
	}
}

int main(int argc, char **argv)
{
	struct epoll_event event = {.events = EPOLLIN};
	struct sockaddr_in here, server;
	int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	if (argc != 3) {
		fprintf(stderr, "usage: relay LISTEN_PORT SERVER_PORT\n");
		return 2;
	}
	here = local(argv[1]);
	server = local(argv[2]);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0 || bind(listener, (struct sockaddr *)&here, sizeof here) < 0 || listen(listener, 4096) < 0)
		fail("listen");
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0)
		fail("epoll_ctl");
	for (;;)
		turn(listener, &server);
}
