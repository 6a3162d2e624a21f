-- SPDX-License-Identifier: Apache-2.0
SET LOCAL search_path = tb;
