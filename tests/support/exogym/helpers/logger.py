"""Losses of the first node, in files."""

import csv
import os


class CSVLogger:
    """Writes two files: a row a training step, and a row an evaluation."""

    def __init__(self, run_name):
        folder = os.path.join("logs", run_name)
        os.makedirs(folder, exist_ok=True)
        self.step = 0
        self.train_csv_path = os.path.join(folder, "train.csv")
        self.val_csv_path = os.path.join(folder, "validation.csv")
        self._init_csv_file(self.train_csv_path, ["step", "train_loss"])
        self._init_csv_file(self.val_csv_path, ["step", "local_loss", "global_loss"])

    def _init_csv_file(self, filepath, headers):
        if not os.path.exists(filepath):
            with open(filepath, "w", newline="") as file:
                csv.writer(file).writerow(headers)

    def log_train(self, loss):
        with open(self.train_csv_path, newline="") as file:
            names = next(csv.reader(file))
        with open(self.train_csv_path, "a", newline="") as file:
            csv.DictWriter(file, fieldnames=names).writerow({"step": self.step, "train_loss": loss})

    def log_loss(self, loss, name):
        """One row has both losses: the file is written anew."""
        with open(self.val_csv_path, newline="") as file:
            reader = csv.DictReader(file)
            rows, names = list(reader), reader.fieldnames
        row = {"step": self.step}
        if rows and int(rows[-1]["step"]) == self.step:
            last = rows.pop()
            row |= {each: last[each] for each in ("local_loss", "global_loss")}
        rows.append(row | {f"{name}_loss": loss})
        with open(self.val_csv_path, "w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=names)
            writer.writeheader()
            writer.writerows(rows)
