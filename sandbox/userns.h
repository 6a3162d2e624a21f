/* SPDX-License-Identifier: Apache-2.0
 * Namespaces of our own processes, as root or as an ordinary user. */
#ifndef TB_SANDBOX_USERNS_H
#define TB_SANDBOX_USERNS_H

/* unshare(2) of these namespaces (CLONE_NEW*): with CAP_SYS_ADMIN, else in a new user
 * namespace in which we stay who we are. Dies with one actionable line that begins with
 * `what` could not be had. Needs one thread. */
void userns_unshare(int namespaces, const char *what);

#endif
