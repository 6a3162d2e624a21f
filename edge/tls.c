/* SPDX-License-Identifier: Apache-2.0
 * OpenSSL between two buffers. */
#include "edge/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/die.h"

#define RECORD_MOST (16u << 10)

struct tls_keys {
	SSL_CTX *context;
};
struct tls {
	SSL *ssl;
	struct slice raw; /* what came in this call and is not read yet */
	struct strbuf wire;
	bool broken;
};

/* ---- OpenSSL's end: it reads raw and writes wire */

static int bio_read(BIO *b, char *to, int room)
{
	struct tls *t = BIO_get_data(b);
	BIO_clear_retry_flags(b);
	if (t->raw.n == 0) {
		BIO_set_retry_read(b);
		return -1;
	}
	size_t n = (size_t)room < t->raw.n ? (size_t)room : t->raw.n;
	memcpy(to, t->raw.p, n);
	t->raw = slice_of(t->raw.p + n, t->raw.n - n);
	return (int)n;
}

static int bio_write(BIO *b, const char *from, int n)
{
	struct tls *t = BIO_get_data(b);
	BIO_clear_retry_flags(b);
	strbuf_add(&t->wire, from, (size_t)n);
	return n;
}

static long bio_ctrl(BIO *b, int what, long number, void *p)
{
	(void)b, (void)number, (void)p;
	return what == BIO_CTRL_FLUSH;
}

static BIO_METHOD *method(void)
{
	static BIO_METHOD *m;
	if (m)
		return m;
	m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "connection");
	check(m);
	BIO_meth_set_read(m, bio_read);
	BIO_meth_set_write(m, bio_write);
	BIO_meth_set_ctrl(m, bio_ctrl);
	return m;
}

/* ---- keys */

static const char *reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());
	return text ? text : "unknown reason";
}

static int no_passphrase(char *to, int room, int rw, void *arg)
{
	(void)to, (void)room, (void)rw, (void)arg;
	return 0;
}

static bool add_chain(SSL_CTX *c, BIO *b)
{
	X509 *own = PEM_read_bio_X509(b, NULL, no_passphrase, NULL), *next;
	bool good = own && SSL_CTX_use_certificate(c, own) == 1;
	X509_free(own);
	while (good && (next = PEM_read_bio_X509(b, NULL, no_passphrase, NULL)))
		good = SSL_CTX_add0_chain_cert(c, next) == 1;
	return good;
}

static bool add_key(SSL_CTX *c, BIO *b)
{
	EVP_PKEY *key = PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL);
	bool good = key && SSL_CTX_use_PrivateKey(c, key) == 1 &&
		    SSL_CTX_check_private_key(c) == 1;
	EVP_PKEY_free(key);
	return good;
}

static bool add_authorities(SSL_CTX *c, BIO *b)
{
	X509_STORE *store = X509_STORE_new();
	unsigned count = 0;
	bool good = store != NULL;
	for (X509 *ca; good && (ca = PEM_read_bio_X509(b, NULL, no_passphrase, NULL));) {
		good = X509_STORE_add_cert(store, ca) == 1 &&
		       SSL_CTX_add_client_CA(c, ca) == 1;
		X509_free(ca);
		count++;
	}
	SSL_CTX_set_cert_store(c, store);
	return good && count > 0;
}

static bool with_text(SSL_CTX *c, struct slice text, bool (*add)(SSL_CTX *, BIO *))
{
	BIO *b = BIO_new_mem_buf(text.p, (int)text.n);
	ERR_clear_error();
	bool good = b && add(c, b);
	BIO_free(b);
	return good;
}

/* http/1.1 of what a client offers; one that offers others alone is refused. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_n,
			   const unsigned char *in, unsigned in_n, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";
	unsigned char *chosen;
	(void)ssl, (void)arg;
	if (SSL_select_next_proto(&chosen, out_n, ours, sizeof ours - 1, in, in_n) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *new_context(void)
{
	SSL_CTX *c = SSL_CTX_new(TLS_server_method());
	check(c);
	check(SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) == 1);
	SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
				       SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_num_tickets(c, 0);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_alpn_select_cb(c, choose_protocol, NULL);
	return c;
}

struct tls_keys *tls_keys_new(const struct tls_files *f, char *why, size_t why_size)
{
	SSL_CTX *c = new_context();
	const char *what = NULL;
	if (!with_text(c, f->cert, add_chain))
		what = "TERABITS_TLS_CERT holds no certificate that can be used";
	else if (!with_text(c, f->key, add_key))
		what = "TERABITS_TLS_KEY holds no key of that certificate, or one with a "
		       "passphrase";
	else if (f->client_ca.n && !with_text(c, f->client_ca, add_authorities))
		what = "TERABITS_TLS_CLIENT_CA holds no certificates of authorities";
	if (what) {
		snprintf(why, why_size, "%s (%s)", what, reason());
		SSL_CTX_free(c);
		return NULL;
	}
	struct tls_keys *k = xcalloc(1, sizeof *k);
	k->context = c;
	return k;
}

void tls_keys_free(struct tls_keys *k)
{
	if (k)
		SSL_CTX_free(k->context);
	free(k);
}

/* ---- a connection */

struct tls *tls_new(struct tls_keys *k, bool wants_client)
{
	struct tls *t = xcalloc(1, sizeof *t);
	BIO *b = BIO_new(method());
	t->ssl = SSL_new(k->context);
	check(t->ssl && b);
	BIO_set_data(b, t);
	BIO_set_init(b, 1);
	SSL_set_bio(t->ssl, b, b);
	SSL_set_accept_state(t->ssl);
	if (wants_client)
		SSL_set_verify(t->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
			       NULL);
	return t;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	SSL_free(t->ssl);
	strbuf_fini(&t->wire);
	free(t);
}

static enum tls_state failed(struct tls *t, int rv)
{
	int e = SSL_get_error(t->ssl, rv);
	if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
		return TLS_FINE;
	ERR_clear_error();
	if (e == SSL_ERROR_ZERO_RETURN)
		return TLS_ENDED;
	t->broken = true;
	return TLS_BROKEN;
}

enum tls_state tls_open(struct tls *t, struct slice raw, struct strbuf *plain)
{
	static char piece[RECORD_MOST];
	int n;
	if (t->broken)
		return TLS_BROKEN;
	t->raw = raw;
	do {
		n = SSL_read(t->ssl, piece, sizeof piece);
		if (n > 0)
			strbuf_add(plain, piece, (size_t)n);
	} while (n > 0);
	enum tls_state state = failed(t, n);
	t->raw = SLICE_NONE;
	return t->wire.n > 4 * TLS_WIRE_MOST ? TLS_BROKEN : state;
}

bool tls_seal(struct tls *t, struct strbuf *plain)
{
	size_t done = 0;
	if (t->broken)
		return false;
	if (!SSL_is_init_finished(t->ssl))
		return true;
	while (done < plain->n && t->wire.n < TLS_WIRE_MOST) {
		size_t n = plain->n - done < RECORD_MOST ? plain->n - done : RECORD_MOST;
		int rv = SSL_write(t->ssl, plain->p + done, (int)n);
		if (rv <= 0 && failed(t, rv) != TLS_FINE)
			return false;
		if (rv <= 0)
			break;
		done += (size_t)rv;
	}
	strbuf_eat(plain, done);
	return true;
}

struct strbuf *tls_wire(struct tls *t)
{
	return &t->wire;
}

void tls_close(struct tls *t)
{
	if (!t->broken && SSL_is_init_finished(t->ssl))
		SSL_shutdown(t->ssl);
	ERR_clear_error();
}
