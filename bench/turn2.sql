-- SPDX-License-Identifier: Apache-2.0
-- One turn as two commits: accepted and started; answered and archived.
\set k random(1, 2048)
BEGIN;
UPDATE bench.lanes SET enq_seq = enq_seq + 1, fence = fence + 1, head_seq = head_seq + 1 WHERE tenant_id = 1 AND session_id = ('00000000-0000-7000-8000-' || lpad(to_hex(:k::bigint), 12, '0'))::uuid RETURNING session_id AS s, head_seq AS h, enq_seq AS e \gset
INSERT INTO bench.agent_run_queue (tenant_id, run_id, session_id, agent_id, slot, kind, mode, state, lane_seq, lane_pos, order_us, run_at, attempt, fence, worker, agent_revision, input_seq, enqueued_at, started_at) VALUES (1, lpad(to_hex((extract(epoch FROM now()) * 1000000)::bigint * 1024 + :client_id::bigint), 32, '0')::uuid, :s, '00000000-0000-7000-8000-000000000001', 7, 'turn', 'steer', 'running', :e, :e, 1, now(), 1, 1, 1, 1, :h, now(), now()) RETURNING run_id AS r \gset
INSERT INTO bench.session_messages (tenant_id, session_id, seq, run_id, role, content) VALUES (1, :s, :h, :r, 'user', '{"blocks":[{"type":"text","text":"echo n=16 k=4"}]}');
END;
BEGIN;
UPDATE bench.lanes SET head_seq = head_seq + 1, commit_no = commit_no + 1 WHERE tenant_id = 1 AND session_id = :s RETURNING head_seq AS h2 \gset
INSERT INTO bench.session_messages (tenant_id, session_id, seq, run_id, role, content) VALUES (1, :s, :h2, :r, 'assistant', '{"blocks":[{"type":"text","text":"tok0 tok1 tok2 tok3 tok4 tok5 tok6 tok7 tok8 tok9 tok10 tok11 tok12 tok13 tok14 tok15"}]}');
DELETE FROM bench.agent_run_queue WHERE tenant_id = 1 AND run_id = :r;
INSERT INTO bench.agent_runs (tenant_id, run_id, session_id, agent_id, kind, mode, lane_seq, lane_pos, agent_revision, result, input_seq, output_seq, attempts, steps, enqueued_at, started_at, finished_at) VALUES (1, :r, :s, '00000000-0000-7000-8000-000000000001', 'turn', 'steer', :e, :e, 1, 'completed', :h, :h2, 1, 1, now(), now(), now());
END;
