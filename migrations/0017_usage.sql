-- SPDX-License-Identifier: Apache-2.0
-- Usage and budgets.

SET LOCAL search_path = tb;
