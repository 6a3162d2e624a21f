-- SPDX-License-Identifier: Apache-2.0
-- Lane jobs that restore a snapshot.

SET LOCAL search_path = tb;
