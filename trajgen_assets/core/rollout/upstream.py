"""The model that a job's calls go to, as its proxy takes it."""

from trajgen_assets.core.capture.litellm_config import Endpoint, Upstream
from trajgen_assets.core.config.config import Campaign
from trajgen_assets.core.config.llm_api import LlmApi
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.rollout.budget import proxy_budget


def upstream_of(platform: Platform, campaign: Campaign) -> Upstream:
    """The endpoints of a campaign and what a job of it may take; keys are read at this moment.

    What is secret in the configuration is to be in none of the proxy's texts.
    """
    api, agent = campaign.llm_api, campaign.agent
    return Upstream(
        model=api.model,
        endpoints=_endpoints(api),
        timeout_s=api.timeout_s,
        cooldown_s=api.cooldown_s,
        other_secrets=platform.config.secret_values(),
        input_cost_per_token=api.input_cost_per_token,
        output_cost_per_token=api.output_cost_per_token,
        sampling=agent.sampling,
        budget={**proxy_budget(platform.root, platform.config, platform.ledger), "max_calls": agent.max_calls},
    )


def _endpoints(api: LlmApi) -> list[Endpoint]:
    return [
        Endpoint(
            name=each.name,
            api_base_url=each.api_base_url,
            api_key=each.api_key.reveal(),
            model=each.model,
            weight=each.weight,
            requests_per_minute=each.requests_per_minute,
            timeout_s=each.timeout_s,
        )
        for each in api.pool
    ]
