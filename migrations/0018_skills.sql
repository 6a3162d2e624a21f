-- SPDX-License-Identifier: Apache-2.0
-- Skills.

SET LOCAL search_path = tb;
