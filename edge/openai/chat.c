/* SPDX-License-Identifier: Apache-2.0
 * POST /v1/chat/completions */
#include "edge/openai/exchange.h"

void openai_chat(struct call *c)
{
	static const struct exchange_api api = {
		.read = ask_read_chat, .form = &answer_chat, .list = "messages"};
	exchange_step(c, &api);
}
