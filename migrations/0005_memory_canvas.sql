-- SPDX-License-Identifier: Apache-2.0
-- Memory, workflows and schedules.

SET LOCAL search_path = tb;

CREATE TABLE agent_memory_entries (                  -- the current text of each document
  tenant_id bigint NOT NULL,
  agent_id  uuid   NOT NULL,
  memory_id uuid   NOT NULL,
  path      text   NOT NULL CHECK (octet_length(path) BETWEEN 1 AND 1024),
  body      text   NOT NULL,
  tags      text[] NOT NULL DEFAULT '{}',
  version   integer NOT NULL DEFAULT 1,
  deleted_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, agent_id, memory_id),
  FOREIGN KEY (tenant_id, agent_id) REFERENCES agents ON DELETE CASCADE
);
CREATE UNIQUE INDEX agent_memory_path ON agent_memory_entries (tenant_id, agent_id, path) WHERE deleted_at IS NULL;

CREATE TABLE memory_versions (                       -- every text, the current one included
  tenant_id bigint NOT NULL, agent_id uuid NOT NULL, memory_id uuid NOT NULL,
  version   integer NOT NULL,
  body      text   NOT NULL,
  author    text,                                    -- run id or user
  idem_key  text,                                    -- run:step:call of a tool: the same call again finds its version
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, agent_id, memory_id, version),
  FOREIGN KEY (tenant_id, agent_id, memory_id) REFERENCES agent_memory_entries ON DELETE CASCADE
);

CREATE UNIQUE INDEX memory_versions_idem ON memory_versions (tenant_id, agent_id, idem_key) WHERE idem_key IS NOT NULL;

CREATE TABLE memory_chunks (                         -- rewritten in the transaction that writes the entry
  tenant_id bigint NOT NULL, agent_id uuid NOT NULL, memory_id uuid NOT NULL,
  chunk_no  integer NOT NULL,
  from_line integer NOT NULL, to_line integer NOT NULL,
  body      text   NOT NULL,
  tsv       tsvector GENERATED ALWAYS AS (to_tsvector('simple', body)) STORED,
  embed_model text,
  embedding bytea,                                   -- halfvec(N) where pgvector is installed
  PRIMARY KEY (tenant_id, agent_id, memory_id, chunk_no),
  FOREIGN KEY (tenant_id, agent_id, memory_id) REFERENCES agent_memory_entries ON DELETE CASCADE
);
CREATE INDEX memory_chunks_tsv ON memory_chunks USING gin (tsv);

CREATE TABLE workflows (                             -- canvas and builder work
  tenant_id bigint NOT NULL, workflow_id uuid NOT NULL, agent_id uuid NOT NULL,
  name      text NOT NULL, version integer NOT NULL DEFAULT 1,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, workflow_id),
  FOREIGN KEY (tenant_id, agent_id) REFERENCES agents ON DELETE CASCADE
);
CREATE TABLE workflow_versions (                     -- the whole document each time
  tenant_id bigint NOT NULL, workflow_id uuid NOT NULL, version integer NOT NULL,
  doc       jsonb NOT NULL, author text,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, workflow_id, version),
  FOREIGN KEY (tenant_id, workflow_id) REFERENCES workflows ON DELETE CASCADE
);

CREATE TABLE schedules (                             -- core fires them; the API edits them
  tenant_id bigint NOT NULL,
  schedule_id uuid NOT NULL,
  agent_id  uuid NOT NULL,
  session_id uuid NOT NULL,
  slot      smallint NOT NULL,
  cron      text, every interval, tz text NOT NULL DEFAULT 'UTC',
  input     jsonb NOT NULL,
  overlap   text NOT NULL DEFAULT 'skip' CHECK (overlap IN ('skip','queue','interrupt')),
  catchup   smallint NOT NULL DEFAULT 1,
  next_at   timestamptz NOT NULL,
  enabled   boolean NOT NULL DEFAULT true,
  PRIMARY KEY (tenant_id, schedule_id),
  CHECK ((cron IS NULL) <> (every IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX schedules_due ON schedules (slot, next_at) WHERE enabled;
