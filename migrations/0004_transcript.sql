-- SPDX-License-Identifier: Apache-2.0
-- The transcript and the journal of runs: messages, tool executions, events, snapshots, spawns, blobs, deliveries.

SET LOCAL search_path = tb;

CREATE TABLE session_messages (
  tenant_id  bigint NOT NULL,
  session_id uuid   NOT NULL,
  seq        bigint NOT NULL,                        -- from lanes.head_seq, no gaps
  created_at timestamptz NOT NULL DEFAULT now(),     -- for people; nothing is ordered or found by it
  run_id     uuid,
  step       smallint NOT NULL DEFAULT 0,
  role       text   NOT NULL CHECK (role IN ('system','user','assistant','tool','summary','reset')),
  content    jsonb  NOT NULL,
  tokens     integer,
  PRIMARY KEY (tenant_id, session_id, seq)
);

CREATE TYPE tool_state AS ENUM ('pending','running','completed','error','cancelled','unknown');
CREATE TABLE tool_executions (
  tenant_id   bigint NOT NULL,
  run_id      uuid   NOT NULL,
  step        smallint NOT NULL,
  call_no     smallint NOT NULL,
  call_id     text   NOT NULL,                       -- the model's tool_call id
  session_id  uuid   NOT NULL,
  tool        text   NOT NULL,
  effect      text   NOT NULL CHECK (effect IN ('pure','idempotent','keyed','once')),
  idem_key    text   NOT NULL,                       -- run_id:step:call_no, sent to 'keyed' tools
  state       tool_state NOT NULL,
  attempt     smallint NOT NULL DEFAULT 1,
  policy_version integer NOT NULL DEFAULT 0,         -- that allowed it
  input       jsonb  NOT NULL,
  output      jsonb,                                 -- what the model saw
  output_blob bytea,                                 -- blobs.sha256 of the whole, if it was cut
  error       text,
  fence       bigint NOT NULL,
  started_at  timestamptz, finished_at timestamptz,
  PRIMARY KEY (tenant_id, run_id, step, call_no)
) WITH (fillfactor = 85);

CREATE TABLE run_events (                            -- durable events only; token deltas never come here
  tenant_id bigint NOT NULL,
  run_id    uuid   NOT NULL,
  ev_seq    integer NOT NULL,                        -- from 1, no gaps
  at        timestamptz NOT NULL DEFAULT now(),
  type      text   NOT NULL,
  body      jsonb  NOT NULL,
  PRIMARY KEY (tenant_id, run_id, ev_seq)
) PARTITION BY RANGE (run_id);                       -- one day of run_ids each
CREATE TABLE run_events_default PARTITION OF run_events DEFAULT;  -- strays: late runs, stepped clocks; emptied by batched DELETE

CREATE TABLE agent_context_snapshots (
  tenant_id  bigint NOT NULL,
  session_id uuid   NOT NULL,
  version    integer NOT NULL,
  from_seq   bigint NOT NULL, to_seq bigint NOT NULL CHECK (to_seq >= from_seq),
  summary_seq bigint NOT NULL,                       -- the 'summary' message that replaces the range
  tokens_before integer, tokens_after integer,
  run_id     uuid,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, session_id, version)
);

CREATE TABLE subagent_spawns (                       -- multi-agent work
  tenant_id  bigint NOT NULL,
  parent_run_id uuid NOT NULL,
  step       smallint NOT NULL,
  call_no    smallint NOT NULL,                      -- spawn is a keyed tool call: replay finds its row
  parent_session_id uuid NOT NULL,
  child_session_id uuid NOT NULL,
  child_run_id uuid NOT NULL,
  depth      smallint NOT NULL CHECK (depth BETWEEN 1 AND 16),   -- default limit 5
  state      text NOT NULL DEFAULT 'running' CHECK (state IN ('running','completed','failed','cancelled','detached')),
  on_parent_cancel text NOT NULL DEFAULT 'cancel' CHECK (on_parent_cancel IN ('cancel','detach')),
  result     jsonb,
  created_at timestamptz NOT NULL DEFAULT now(), finished_at timestamptz,
  PRIMARY KEY (tenant_id, parent_run_id, step, call_no)
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX subagent_spawns_child ON subagent_spawns (tenant_id, child_run_id);

CREATE TABLE blobs (                                 -- tools work: outputs over the cap, images, workspace files in and out
  tenant_id  bigint NOT NULL,
  sha256     bytea  NOT NULL CHECK (octet_length(sha256) = 32),
  media_type text   NOT NULL DEFAULT 'application/octet-stream',
  data       bytea  NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, sha256)
);

CREATE TABLE deliveries (                            -- messaging tools and completion webhooks: the outbox
  tenant_id   bigint NOT NULL,
  delivery_id uuid   NOT NULL,
  run_id      uuid, step smallint, call_no smallint,
  channel     text   NOT NULL CHECK (channel IN ('webhook','email')),
  target      text   NOT NULL, body jsonb NOT NULL,
  state       text   NOT NULL DEFAULT 'pending' CHECK (state IN ('pending','sent','failed','unknown')),
  attempts    smallint NOT NULL DEFAULT 0,
  next_at     timestamptz NOT NULL DEFAULT now(), last_error text,
  PRIMARY KEY (tenant_id, delivery_id)
);
CREATE INDEX deliveries_due ON deliveries (next_at) WHERE state = 'pending';
