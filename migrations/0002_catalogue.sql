-- SPDX-License-Identifier: Apache-2.0
-- What tenants configure: agents, their revisions and policies, tokens. Written by the edge (column grants, RLS) or functions.

CREATE TABLE tb.tenants (
  tenant_id   bigint PRIMARY KEY,                    -- 0 = the platform (platform-wide provider keys), never runs anything
  slug        text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  status      text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'deleting')),
  weight      smallint NOT NULL DEFAULT 100 CHECK (weight BETWEEN 1 AND 10000),  -- share of a busy node
  max_running integer NOT NULL DEFAULT 50 CHECK (max_running > 0),
  max_queued  integer NOT NULL DEFAULT 10000 CHECK (max_queued > 0),
  retain_runs interval NOT NULL DEFAULT '30 days',   -- agent_runs, tool_executions: batched DELETE
  created_at  timestamptz NOT NULL DEFAULT now()
);
INSERT INTO tb.tenants (tenant_id, slug) VALUES (0, 'platform');

CREATE TABLE tb.agents (
  tenant_id   bigint NOT NULL REFERENCES tb.tenants,
  agent_id    uuid NOT NULL,
  name        text NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 63),
  revision    integer NOT NULL DEFAULT 1,            -- the current one; its content is in agent_revisions
  max_running integer NOT NULL DEFAULT 10 CHECK (max_running > 0),
  deleted_at  timestamptz,
  created_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, agent_id)
);
CREATE UNIQUE INDEX agents_name ON tb.agents (tenant_id, name) WHERE deleted_at IS NULL;

CREATE TABLE tb.agent_revisions (                    -- immutable: nobody is granted UPDATE
  tenant_id  bigint NOT NULL,
  agent_id   uuid NOT NULL,
  revision   integer NOT NULL,
  config     jsonb NOT NULL CHECK (jsonb_typeof(config) = 'object'),  -- model, system prompt, tools, queue mode, caps
  created_by text,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, agent_id, revision),
  FOREIGN KEY (tenant_id, agent_id) REFERENCES tb.agents
);

CREATE TABLE tb.agent_tool_policies (                -- live: read by every step, not pinned by the revision
  tenant_id  bigint NOT NULL,
  agent_id   uuid NOT NULL,
  profile    text NOT NULL CHECK (profile IN ('minimal', 'coding', 'messaging', 'full')),
  allowed    text[] NOT NULL DEFAULT '{}',           -- empty: the profile's list; else exactly these
  denied     text[] NOT NULL DEFAULT '{}',
  ask        text[] NOT NULL DEFAULT '{}',
  max_calls_per_turn smallint NOT NULL DEFAULT 10 CHECK (max_calls_per_turn BETWEEN 0 AND 1000),
  limits     jsonb NOT NULL DEFAULT '{}',
  version    integer NOT NULL DEFAULT 1,             -- + 1 at every change
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, agent_id),
  FOREIGN KEY (tenant_id, agent_id) REFERENCES tb.agents ON DELETE CASCADE
);

CREATE TABLE tb.tool_ceilings (                      -- what no agent of the tenant may exceed
  tenant_id  bigint PRIMARY KEY REFERENCES tb.tenants,
  allowed    text[] NOT NULL DEFAULT '{*}',
  denied     text[] NOT NULL DEFAULT '{}',
  max_calls_per_turn smallint NOT NULL DEFAULT 1000 CHECK (max_calls_per_turn BETWEEN 0 AND 1000),
  version    integer NOT NULL DEFAULT 1,
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tb.api_tokens (                         -- token text = tb1.<tenant>.<token_id>.<secret>
  tenant_id  bigint NOT NULL REFERENCES tb.tenants,
  token_id   uuid NOT NULL,
  secret_sha256 bytea NOT NULL CHECK (octet_length(secret_sha256) = 32),  -- of the secret's text
  scopes     text[] NOT NULL CHECK (scopes <@ ARRAY['run', 'read', 'write', 'admin']),
  expires_at timestamptz,
  revoked_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, token_id)
);

-- Nodes and the capabilities of their workers: seen by the supervisor alone, written by functions alone.

CREATE TABLE tb.nodes (                              -- one row per supervisor incarnation: a record, not a lease (an advisory lock is)
  node_id    uuid PRIMARY KEY,                       -- a new UUIDv7 at every start
  host       text NOT NULL,
  version    text NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  gone_at    timestamptz
);

CREATE TABLE tb.worker_caps (                        -- one per (worker incarnation, tenant); deleted when the worker dies
  cap_sha256 bytea PRIMARY KEY CHECK (octet_length(cap_sha256) = 32),
  tenant_id  bigint NOT NULL CHECK (tenant_id > 0),  -- the platform's rows are nobody's tenant
  worker_id  uuid NOT NULL,                          -- the worker's incarnation
  node_id    uuid NOT NULL,
  expires_at timestamptz NOT NULL DEFAULT now() + interval '24 hours',
  UNIQUE (worker_id, tenant_id)
);
