-- SPDX-License-Identifier: Apache-2.0
-- Provider keys, usage, budgets, audit.

SET LOCAL search_path = tb;

CREATE TABLE provider_keys (                         -- providers work; tenant 0 = platform
  tenant_id  bigint NOT NULL REFERENCES tenants,
  key_id     uuid   NOT NULL,
  provider   text   NOT NULL, label text, base_url text,
  sealed     bytea  NOT NULL,                        -- libsodium secretbox, nonce first; the master key is not in the database
  disabled_at timestamptz, created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, key_id)
);
CREATE TABLE provider_cooldowns (                    -- providers work: failover remembers
  tenant_id bigint NOT NULL, provider text NOT NULL, model text NOT NULL, key_id uuid NOT NULL,
  until_at  timestamptz NOT NULL, reason text NOT NULL, failures integer NOT NULL DEFAULT 1,
  PRIMARY KEY (tenant_id, provider, model, key_id)
);
CREATE TABLE usage_ledger (                          -- providers work: one row per model call, written in T2
  tenant_id bigint NOT NULL, run_id uuid NOT NULL, step smallint NOT NULL, call_no smallint NOT NULL DEFAULT 0,
  agent_id  uuid NOT NULL, session_id uuid NOT NULL, user_id text,
  provider  text NOT NULL, model text NOT NULL,
  tokens_in bigint NOT NULL, tokens_out bigint NOT NULL, tokens_cached bigint NOT NULL DEFAULT 0, cost_micros bigint,
  at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, run_id, step, call_no)
);
CREATE INDEX usage_ledger_at ON usage_ledger (tenant_id, at);
CREATE TABLE budgets (                               -- operations work; reserve and settle are SECURITY DEFINER functions
  tenant_id bigint NOT NULL REFERENCES tenants,
  scope     text NOT NULL CHECK (scope IN ('tenant','agent','user')), scope_id text NOT NULL,
  period    text NOT NULL CHECK (period IN ('day','month','total')),
  limit_micros bigint, limit_tokens bigint,
  period_start timestamptz NOT NULL DEFAULT now(),
  reserved_micros bigint NOT NULL DEFAULT 0, spent_micros bigint NOT NULL DEFAULT 0, spent_tokens bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, scope, scope_id, period)
) WITH (fillfactor = 50);
CREATE TABLE audit_log (                             -- operations work; append only
  tenant_id bigint NOT NULL, audit_id uuid NOT NULL,
  at        timestamptz NOT NULL DEFAULT now(),
  actor     text NOT NULL, action text NOT NULL, object text NOT NULL, detail jsonb NOT NULL DEFAULT '{}',
  PRIMARY KEY (tenant_id, audit_id)
);
