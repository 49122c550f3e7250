# SPDX-License-Identifier: Apache-2.0
"""Trains the reference model on two CPU cores.

    python3 train.py --corpus domains.json --out run/plain --steps 11000
    python3 train.py --corpus domains.json --out run/tolerant --steps 2000 --init run/plain/checkpoint.pt \\
                     --mask 60 --lr 1.5e-3 --warmup 100 --seed 1

Two processes with the parameters and gradients in shared memory each compute half of a batch, and each updates half
of the parameters. Schedule and data depend on the step and the seed only, never on the clock: the same command on the
same type of machine gives the same weights, also when it was interrupted and continued with --resume.
"""

import kernels  # first: it sets the environment

import argparse
import csv
import math
import os
import time
from pathlib import Path

import data
import torch
import torch.multiprocessing as multiprocessing
import torch.nn.functional as F
from model import Config, forward, initialise, parameter_count, parameter_views

WORKERS = 2
BETAS = (0.9, 0.98)
LAST_RATE = 0.03  # the cosine ends at this share of the learning rate
LARGEST_NORM = 1.0  # gradients are scaled down to this norm
DECAY = 0.1  # weight decay of matrices; norms and the embedding have none
LOG_EVERY, SAVE_EVERY = 50, 500
LOG_HEADER = ("step", "seconds", "text_bits_per_byte", "task_nats_per_answer_byte", "balance", "learning_rate")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", required=True, help="description of the corpus, see data.py")
    parser.add_argument("--out", required=True, type=Path, help="folder for checkpoint.pt and loss.csv")
    parser.add_argument("--steps", type=int, default=11000)
    parser.add_argument("--batch", type=int, default=24, help="sequences of 256 bytes per step, over both workers")
    parser.add_argument("--lr", type=float, default=5e-3)
    parser.add_argument("--warmup", type=int, default=300, help="steps of linear rise")
    parser.add_argument("--balance", type=float, default=0.004, help="weight of the balance loss")
    parser.add_argument("--mask", type=int, default=0, help="percent of the sequences with hidden experts")
    parser.add_argument("--init", type=Path, help="checkpoint to take the first parameters from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint in --out")
    parser.add_argument("--stop", type=int, help="stop after this step (of --steps), to resume later")
    return parser.parse_args()


def learning_rate(arguments, step):
    """Linear rise, times a cosine over the whole run; step counts from 0."""
    rise = min(1.0, (step + 1) / arguments.warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * (step + 1) / arguments.steps))
    return arguments.lr * rise * (LAST_RATE + (1 - LAST_RATE) * cosine)


class SharedState:
    """What both processes see: flat vectors of one length, two squared norms, and a barrier."""

    def __init__(self, config, context):
        def vector():
            return torch.zeros(parameter_count(config)).share_memory_()

        self.config = config
        self.parameters, self.first_moment, self.second_moment = vector(), vector(), vector()
        self.gradients = [vector() for _ in range(WORKERS)]
        self.squares = torch.zeros(WORKERS, dtype=torch.float64).share_memory_()
        self.first_step = 0
        self.barrier = context.Barrier(WORKERS)

    def save(self, path, step):
        """Writes a checkpoint under a temporary name first, so that a reader never sees half of one."""
        temporary = path.with_suffix(".tmp")
        torch.save({"config": self.config.to_dict(), "step": step, "parameters": self.parameters.clone(),
                    "first_moment": self.first_moment.clone(), "second_moment": self.second_moment.clone()}, temporary)
        os.replace(temporary, path)

    def load(self, path, everything):
        saved = torch.load(path)
        if saved["config"] != self.config.to_dict():
            raise SystemExit(f"{path}: the checkpoint is of another model: {saved['config']}")
        self.parameters.copy_(saved["parameters"])
        if everything:
            self.first_moment.copy_(saved["first_moment"])
            self.second_moment.copy_(saved["second_moment"])
            self.first_step = saved["step"]


class Log:
    """Means over LOG_EVERY steps, as a line on the terminal and a row of loss.csv."""

    def __init__(self, path, first_step):
        self._path, self._sums, self._count = path, [0.0] * 3, 0
        self._begin = time.time()
        if first_step == 0:
            with open(path, "w", newline="") as file:
                csv.writer(file).writerow(LOG_HEADER)

    def add(self, step, text_loss, task_loss, balance, rate):
        self._sums = [a + b for a, b in zip(self._sums, (text_loss / math.log(2), task_loss, balance))]
        self._count += 1
        if (step + 1) % LOG_EVERY:
            return
        means = [f"{value / self._count:.4f}" for value in self._sums]
        row = [step + 1, f"{time.time() - self._begin:.0f}", *means, f"{rate:.3e}"]
        print(*(f"{name}={value}" for name, value in zip(LOG_HEADER, row)), flush=True)
        with open(self._path, "a", newline="") as file:
            csv.writer(file).writerow(row)
        self._sums, self._count = [0.0] * 3, 0


def losses(logits, tokens, weights, n_texts):
    """(weighted loss to train on, mean loss of text bytes, mean loss of answer bytes), all in nats."""
    each = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), tokens[:, 1:].reshape(-1), reduction="none")
    each = each.view(weights.shape)
    shown = each.detach()
    is_answer = weights[n_texts:] == 1
    return (each * weights).mean(), shown[:n_texts].mean().item(), shown[n_texts:][is_answer].mean().item()


class Worker:
    """One of the two processes."""

    def __init__(self, rank, arguments, shared, corpus):
        self.rank, self.arguments, self.shared, self.corpus = rank, arguments, shared, corpus
        n = parameter_count(shared.config)
        self.mine = slice(n * rank // WORKERS, n * (rank + 1) // WORKERS)
        gradients = parameter_views(shared.gradients[rank], shared.config)
        self.leaves, self.decay = {}, torch.zeros(n)
        decay = parameter_views(self.decay, shared.config)
        for name, view in parameter_views(shared.parameters, shared.config).items():
            self.leaves[name] = view.detach().requires_grad_(True)
            self.leaves[name].grad = gradients[name]  # backward() adds to it in place: straight into shared memory
            decay[name].fill_(DECAY if view.dim() > 1 and name != "embedding" else 0.0)

    def gradient(self, step):
        """Fills this worker's gradient; returns (text loss, task loss, balance)."""
        a, config, size = self.arguments, self.shared.config, self.arguments.batch // WORKERS
        tokens, weights, n_texts = data.batch(self.corpus, config, a.seed, step, self.rank, size)
        hidden = data.expert_mask(config, a.seed, step, self.rank, size, a.mask)
        self.shared.gradients[self.rank].zero_()
        logits, balance = forward(self.leaves, config, tokens[:, :-1], kernels.FusedOps, hidden)
        loss, text_loss, task_loss = losses(logits, tokens, weights, n_texts)
        (loss + a.balance * balance).backward()
        return text_loss, task_loss, balance.item()

    def update(self, step):
        """AdamW on this worker's half, with the mean gradient of both workers clipped to LARGEST_NORM."""
        s, mine = self.shared, self.mine
        a, b = s.gradients[0][mine], s.gradients[1][mine]
        s.squares[self.rank] = kernels.sum_of_squares(a, b)
        s.barrier.wait()
        norm = math.sqrt(s.squares.sum().item()) / WORKERS
        scale = min(1.0, LARGEST_NORM / (norm + 1e-12)) / WORKERS
        kernels.adamw(s.parameters[mine], a, b, scale, s.first_moment[mine], s.second_moment[mine],
                      learning_rate(self.arguments, step), self.decay[mine], step + 1, BETAS)

    def run(self):
        torch.set_num_threads(1)
        a, shared, leader = self.arguments, self.shared, self.rank == 0
        checkpoint = a.out / "checkpoint.pt"
        log = Log(a.out / "loss.csv", shared.first_step) if leader else None
        last = min(a.steps, a.stop or a.steps)
        for step in range(shared.first_step, last):
            # Between here and the next barrier nobody writes parameters, so the leader may save them.
            shared.barrier.wait()
            if leader and step % SAVE_EVERY == 0 and step > shared.first_step:
                shared.save(checkpoint, step)
            measured = self.gradient(step)
            shared.barrier.wait()
            self.update(step)
            if leader:
                log.add(step, *measured, learning_rate(a, step))
        shared.barrier.wait()
        if leader:
            shared.save(checkpoint, last)


def main():
    arguments = parse_arguments()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("fork")
    shared = SharedState(Config(), context)
    corpus = data.Corpus(arguments.corpus)
    if arguments.resume:
        shared.load(arguments.out / "checkpoint.pt", everything=True)
    elif arguments.init:
        shared.load(arguments.init, everything=False)
    else:
        initialise(shared.parameters, shared.config, arguments.seed)
    workers = [context.Process(target=lambda rank=rank: Worker(rank, arguments, shared, corpus).run())
               for rank in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode != 0 for worker in workers):
        raise SystemExit("a worker failed")


if __name__ == "__main__":
    main()
