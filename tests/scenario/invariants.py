# SPDX-License-Identifier: Apache-2.0
"""What must hold in the database whenever nothing is under way: each query finds violations and must find none."""

QUERIES = {
    "every accepted run ended or waits": """
        SELECT i.run_id FROM tb.run_inputs i LEFT JOIN tb.agent_run_queue q USING (tenant_id, run_id)
         WHERE q.run_id IS NULL OR q.input_seq IS NOT NULL""",
    "a waiting run has its input": """
        SELECT q.run_id FROM tb.agent_run_queue q LEFT JOIN tb.run_inputs i USING (tenant_id, run_id)
         WHERE q.input_seq IS NULL AND i.run_id IS NULL""",
    "no run is both live and archived": """
        SELECT q.run_id FROM tb.agent_run_queue q JOIN tb.agent_runs r USING (tenant_id, run_id)""",
    "messages are numbered without gaps up to the lane's head": """
        SELECT l.session_id, l.head_seq, count(m.seq), max(m.seq) FROM tb.lanes l
          LEFT JOIN tb.session_messages m USING (tenant_id, session_id) GROUP BY l.tenant_id, l.session_id
        HAVING count(m.seq) <> l.head_seq OR coalesce(max(m.seq), 0) <> l.head_seq""",
    "lane_seq has no gaps": """
        SELECT l.session_id FROM (SELECT tenant_id, session_id, lane_seq FROM tb.agent_runs UNION ALL
                                SELECT tenant_id, session_id, lane_seq FROM tb.agent_run_queue) x
          JOIN tb.lanes l USING (tenant_id, session_id) GROUP BY l.tenant_id, l.session_id
        HAVING count(DISTINCT lane_seq) <> l.enq_seq OR count(*) <> l.enq_seq""",
    "one lane starts its runs in order": """
        SELECT a.run_id, b.run_id FROM tb.agent_runs a JOIN tb.agent_runs b USING (tenant_id, session_id)
         WHERE a.lane_pos < b.lane_pos AND a.input_seq > b.input_seq""",
    "a run's events are 1..n": """
        SELECT run_id FROM tb.run_events GROUP BY tenant_id, run_id HAVING count(*) <> max(ev_seq) OR min(ev_seq) <> 1""",
    "an ended run ends its stream once": """
        SELECT r.run_id FROM tb.agent_runs r WHERE 1 <> (SELECT count(*) FROM tb.run_events e WHERE e.tenant_id = r.tenant_id
          AND e.run_id = r.run_id AND e.type = 'lifecycle' AND e.body->>'phase' IN ('end', 'error'))""",
    "an ended run has no open tool execution": """
        SELECT t.run_id FROM tb.tool_executions t JOIN tb.agent_runs r USING (tenant_id, run_id)
         WHERE t.state IN ('pending', 'running')""",
    "a tool call has one result, before the next answer": """
        WITH call AS (SELECT m.tenant_id, m.session_id, m.seq, b->>'callId' AS id FROM tb.session_messages m,
                             jsonb_array_elements(m.content->'blocks') b WHERE b->>'type' = 'tool_call'),
             result AS (SELECT m.tenant_id, m.session_id, m.seq, b->>'callId' AS id FROM tb.session_messages m,
                               jsonb_array_elements(m.content->'blocks') b WHERE b->>'type' = 'tool_result')
        SELECT c.session_id, c.id FROM call c WHERE 1 <> (SELECT count(*) FROM result r WHERE r.tenant_id = c.tenant_id
          AND r.session_id = c.session_id AND r.id = c.id AND r.seq > c.seq AND r.seq < coalesce((SELECT min(m.seq)
          FROM tb.session_messages m WHERE m.tenant_id = c.tenant_id AND m.session_id = c.session_id AND m.seq > c.seq
          AND m.role = 'assistant'), 9223372036854775807))""",
    "a completed run has one final answer": """
        SELECT r.run_id FROM tb.agent_runs r LEFT JOIN tb.session_messages m ON m.tenant_id = r.tenant_id
           AND m.session_id = r.session_id AND m.seq = r.output_seq
         WHERE r.result = 'completed' AND (m.role IS DISTINCT FROM 'assistant' OR m.run_id <> r.run_id)""",
    "a user message stands once": """
        SELECT run_id FROM tb.session_messages WHERE role = 'user' GROUP BY tenant_id, run_id HAVING count(*) <> 1""",
}


def violations(node):
    """{name: rows} of what does not hold."""
    found = {}
    for name, query in QUERIES.items():
        rows = node.rows(query)
        if rows:
            found[name] = rows[:5]
    return found
