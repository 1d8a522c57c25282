"""A PyTorch loop of your own: a small network learns the sign of a product, and saves as it goes.

tunewell worker run --objective own_torch:net          # in this folder, with torch installed
"""

import torch

import tunewell


@tunewell.objective(name="net", metrics={"accuracy": "maximize"}, steps="epochs", checkpoints=True)
def net(trial: tunewell.Trial) -> None:
    """Params: learning_rate, width. Goes on from its checkpoint after a lost worker or a pause."""
    torch.manual_seed(trial.seed)
    x = torch.randn(3000, 2, device=trial.device)
    y = (x[:, 0] * x[:, 1] > 0).float()
    width = trial.params["width"]
    layers = (torch.nn.Linear(2, width), torch.nn.Tanh(), torch.nn.Linear(width, 1))
    model = torch.nn.Sequential(*layers).to(trial.device)
    adam = torch.optim.Adam(model.parameters(), lr=trial.params["learning_rate"])
    loss = torch.nn.BCEWithLogitsLoss()
    saved = trial.checkpoint_dir / "state.pt"
    if saved.exists():
        for part, state in zip((model, adam), torch.load(saved), strict=True):
            part.load_state_dict(state)
    for epoch in range(trial.last_step + 1, trial.options["epochs"] + 1):
        for rows in torch.arange(2000).split(50):
            adam.zero_grad()
            loss(model(x[rows])[:, 0], y[rows]).backward()
            adam.step()
        right = (model(x[2000:])[:, 0] > 0) == (y[2000:] > 0)
        trial.report(epoch, accuracy=right.float().mean().item())
        if trial.should_checkpoint:
            torch.save([model.state_dict(), adam.state_dict()], saved)
            trial.save()
        if trial.should_stop:
            return
