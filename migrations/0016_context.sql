-- SPDX-License-Identifier: Apache-2.0
-- The context of a session: compaction and its snapshots.

SET LOCAL search_path = tb;
