# SPDX-License-Identifier: Apache-2.0
"""The parts of the measuring run: one noun a file, each with functions run(options) -> Section."""
