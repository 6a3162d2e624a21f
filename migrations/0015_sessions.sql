-- SPDX-License-Identifier: Apache-2.0
-- What the sessions' API does to a transcript: lane jobs and the acts of their runs.

SET LOCAL search_path = tb;
