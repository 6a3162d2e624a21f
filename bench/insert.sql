-- SPDX-License-Identifier: Apache-2.0
-- One row made durable: what C1 and C16 count.
INSERT INTO bench.inserts (run_id, body) VALUES (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1024 + :client_id::bigint), 32, '0')::uuid, '{"blocks":[{"type":"text","text":"four words to say"}]}');
