-- SPDX-License-Identifier: Apache-2.0
-- Sessions, lanes, the live queue and the archive of runs.

SET LOCAL search_path = tb;

CREATE TABLE agent_sessions (
  tenant_id   bigint NOT NULL,
  session_id  uuid   NOT NULL,
  agent_id    uuid   NOT NULL,
  session_key text   NOT NULL CHECK (octet_length(session_key) BETWEEN 1 AND 512),
  slot        smallint NOT NULL CHECK (slot BETWEEN 0 AND 4095),  -- siphash24(tenant, agent, key) & 4095, never changes
  status      text   NOT NULL DEFAULT 'active' CHECK (status IN ('active','archived','deleted')),
  mode        text   NOT NULL DEFAULT 'runtime' CHECK (mode IN ('runtime','builder')),
  queue_mode  text,                                  -- NULL = the agent's
  policy      jsonb,                                 -- narrowing layer of this session (a child's: its parent's policy)
  parent_session_id uuid,
  depth       smallint NOT NULL DEFAULT 0 CHECK (depth BETWEEN 0 AND 16),
  user_id     text,
  title       text,
  meta        jsonb  NOT NULL DEFAULT '{}',
  context_floor_seq bigint NOT NULL DEFAULT 0,       -- first message still sent to the model; moved by compaction and reset
  created_at  timestamptz NOT NULL DEFAULT now(),
  last_active_at timestamptz NOT NULL DEFAULT now(), -- at run end, at most once a minute: this update is not HOT
  PRIMARY KEY (tenant_id, session_id),
  UNIQUE (tenant_id, agent_id, session_key),
  FOREIGN KEY (tenant_id, agent_id) REFERENCES agents
) WITH (fillfactor = 85);
CREATE INDEX agent_sessions_recent ON agent_sessions (tenant_id, agent_id, last_active_at DESC) WHERE status = 'active';

-- The narrow, hot half of a session, and its only lock: a lane's queue rows change only under its row lock. Only HOT updates.
CREATE TABLE lanes (
  tenant_id  bigint NOT NULL,
  session_id uuid   NOT NULL,
  fence      bigint NOT NULL DEFAULT 0,              -- +1 at every (re)dispatch
  commit_no  bigint NOT NULL DEFAULT 0,              -- +1 at every journal commit: decides an unknown commit
  head_seq   bigint NOT NULL DEFAULT 0,              -- last session_messages.seq
  enq_seq    bigint NOT NULL DEFAULT 0,              -- last lane_seq handed out
  paused     boolean NOT NULL DEFAULT false,
  closed     boolean NOT NULL DEFAULT false,         -- session deleted: nothing more is accepted
  PRIMARY KEY (tenant_id, session_id)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

CREATE TYPE run_state  AS ENUM ('scheduled','queued','running','retry_wait','waiting');  -- 'cancelling' = running and cancel_requested
CREATE TYPE run_result AS ENUM ('completed','failed','cancelled','timed_out','dead','superseded','dropped');

-- Live runs only, one row per accepted message or lane job, deleted in the transaction that writes agent_runs.
CREATE TABLE agent_run_queue (
  tenant_id   bigint NOT NULL,
  run_id      uuid   NOT NULL,                       -- UUIDv7
  session_id  uuid   NOT NULL,
  agent_id    uuid   NOT NULL,
  slot        smallint NOT NULL,
  kind        text   NOT NULL CHECK (kind IN ('turn','job')),
  mode        text   NOT NULL CHECK (mode IN ('steer','collect','followup','interrupt','announce',      -- of a turn
                                              'append','compact','reset','import','archive','delete')), -- of a job
  state       run_state NOT NULL,
  lane_seq    bigint NOT NULL,                       -- order of acceptance, no gaps
  lane_pos    bigint NOT NULL,                       -- place in the lane: = lane_seq; interrupt and delete: smallest - 1
  priority    smallint NOT NULL DEFAULT 0 CHECK (priority BETWEEN -100 AND 100),
  order_us    bigint NOT NULL,                       -- max(last + 1, database time); key between lanes = order_us - priority * 30 s
  run_at      timestamptz NOT NULL,
  deadline_at timestamptz,                           -- of waiting in the queue
  folded      boolean NOT NULL DEFAULT false,        -- drop policy 'summarize': enters the next run as one bullet
  cancel_requested boolean NOT NULL DEFAULT false,
  attempt     smallint NOT NULL DEFAULT 0,           -- starts and retries; a crash does not raise it
  max_attempts smallint NOT NULL DEFAULT 5,
  crashes     smallint NOT NULL DEFAULT 0,           -- 3 = dead, 'poison'
  active_ms   integer NOT NULL DEFAULT 0,            -- budget used before the last pause: clocks stop in 'waiting' and 'retry_wait'
  fence       bigint NOT NULL DEFAULT 0,
  cap_sha256  bytea,                                 -- of the worker that runs it: the authority of its journal writes
  node_id     uuid,
  worker      smallint,
  agent_revision integer,                            -- pinned at first start
  input_seq   bigint,                                -- NULL: the input is still in run_inputs
  parent_run_id uuid, retry_of uuid, user_id text, trace_id bytea,
  enqueued_at timestamptz NOT NULL, started_at timestamptz,
  last_error  text,
  PRIMARY KEY (tenant_id, run_id)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200,
        autovacuum_vacuum_cost_delay = 0);
-- No index names a column that changes while a run is live, save run_at (retries only): state changes stay HOT.
CREATE INDEX agent_run_queue_slot ON agent_run_queue (slot, run_at);
CREATE UNIQUE INDEX agent_run_queue_lane ON agent_run_queue (tenant_id, session_id, lane_pos);

CREATE TABLE run_inputs (                            -- the accepted body until a run takes it into the transcript
  tenant_id bigint NOT NULL,
  run_id    uuid   NOT NULL,
  body      jsonb  NOT NULL,                         -- a turn: message content; a job: its parameters
  PRIMARY KEY (tenant_id, run_id)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

-- The archive: one insert when a run ends, never updated. A plain table, see queue.md 1.
CREATE TABLE agent_runs (
  tenant_id   bigint NOT NULL,
  run_id      uuid   NOT NULL,
  session_id  uuid   NOT NULL,
  agent_id    uuid   NOT NULL,
  kind        text   NOT NULL,
  mode        text   NOT NULL,
  lane_seq    bigint NOT NULL, lane_pos bigint NOT NULL,
  agent_revision integer,                            -- NULL: never started
  result      run_result NOT NULL,
  merged_into uuid,                                  -- of a superseded run
  error_code  text, error text,
  input_seq   bigint, output_seq bigint,             -- session_messages.seq of its input and final answer
  parent_run_id uuid, retry_of uuid, user_id text, trace_id bytea,
  attempts    smallint NOT NULL DEFAULT 0, crashes smallint NOT NULL DEFAULT 0,
  steps       smallint NOT NULL DEFAULT 0, tool_calls smallint NOT NULL DEFAULT 0,
  tokens_in   bigint, tokens_out bigint, cost_micros bigint,
  enqueued_at timestamptz NOT NULL, started_at timestamptz, finished_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, run_id),
  CHECK ((result = 'superseded') = (merged_into IS NOT NULL))
);
CREATE INDEX agent_runs_session ON agent_runs (tenant_id, session_id, lane_seq DESC);

CREATE TABLE dead_runs (                             -- what an operator must look at; redrive = new run with retry_of
  tenant_id bigint NOT NULL, run_id uuid NOT NULL, agent_id uuid NOT NULL, session_id uuid NOT NULL,
  reason text NOT NULL CHECK (reason IN ('attempts','poison','unknown_tool','deadline','policy')),
  error text, input jsonb, died_at timestamptz NOT NULL DEFAULT now(), redriven_as uuid,
  PRIMARY KEY (tenant_id, run_id)
);

CREATE TABLE idempotency_keys (
  tenant_id bigint NOT NULL,
  scope     text   NOT NULL,                         -- 'enqueue'; later work adds its own
  key       text   NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 255),
  request_hash bytea NOT NULL,                       -- same key, other body -> 422
  run_id    uuid   NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, scope, key)
);
CREATE INDEX idempotency_keys_exp ON idempotency_keys (expires_at);

CREATE TABLE approvals (                             -- tool policy work: what a run in 'waiting' waits for
  tenant_id   bigint NOT NULL,
  approval_id uuid   NOT NULL,
  run_id      uuid   NOT NULL, session_id uuid NOT NULL,
  step        smallint NOT NULL, call_no smallint NOT NULL,
  tool        text   NOT NULL, input jsonb NOT NULL,
  state       text   NOT NULL DEFAULT 'pending' CHECK (state IN ('pending','once','session','denied','expired')),
  answer      text, answered_by text,                -- the text of a denial is shown to the model
  asked_at    timestamptz NOT NULL DEFAULT now(), answered_at timestamptz,
  expires_at  timestamptz NOT NULL DEFAULT now() + interval '24 hours',
  PRIMARY KEY (tenant_id, approval_id),
  UNIQUE (tenant_id, run_id, step, call_no)
);
CREATE INDEX approvals_due ON approvals (expires_at) WHERE state = 'pending';
CREATE INDEX approvals_session ON approvals (tenant_id, session_id);
