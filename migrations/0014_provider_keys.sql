-- SPDX-License-Identifier: Apache-2.0
-- Keys of model providers: sealed, chosen, cooled down.

SET LOCAL search_path = tb;
