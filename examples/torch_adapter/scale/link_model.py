# SPDX-License-Identifier: Apache-2.0
"""What an all-to-all takes: three links with latency and bandwidth, a cost for each message, a switch that tapers."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Links:
    """One GPU's share. GB/s in each direction as large transfers reach it, microseconds."""

    host_gbps: float = 360.0  # NVLink 4 of an H100: 450 each way on paper, 80 % of it
    network_gbps: float = 45.0  # one 400 Gb/s adapter a GPU: 50 on paper, 90 % of it
    host_us: float = 3.0  # of one exchange, whatever its size
    network_us: float = 12.0
    message_us: float = 0.1  # to post one message to one peer: they are posted one after the other
    hosts_of_a_leaf: int = 32  # hosts below one level of switches
    taper: float = 1.0  # bandwidth above that level, as a share of the bandwidth below it

    def exchange_us(self, host_bytes, network_bytes, far_share=0.0, host_peers=0, network_peers=0):
        """The larger of the two lanes, which run at the same time. Bytes are those of the GPU that has most of them.

        far_share: the part of network_bytes that crosses the upper level of the switches."""
        host = self.host_us + host_bytes / self.host_gbps / 1e3 + self.message_us * host_peers if host_peers else 0.0
        slow = 1.0 + far_share * (1.0 / self.taper - 1.0)
        network = (
            self.network_us + network_bytes * slow / self.network_gbps / 1e3 + self.message_us * network_peers
            if network_peers
            else 0.0
        )
        return max(host, network)
