-- SPDX-License-Identifier: Apache-2.0
-- Errands: the test call of a provider key, and the request of a step.

SET LOCAL search_path = tb;
