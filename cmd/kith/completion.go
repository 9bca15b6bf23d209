package main

import "github.com/spf13/cobra"

func (a *app) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Write a completion script for a shell",
		Example: `  source <(kith completion bash)
  kith completion zsh > "${fpath[1]}/_kith"
  kith completion fish > ~/.config/fish/completions/kith.fish
  kith completion powershell | Out-String | Invoke-Expression`,
		ValidArgs: shells,
		Args:      oneArg(alternatives(shells)),
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.out, true)
			case "zsh":
				return root.GenZshCompletion(a.out)
			case "fish":
				return root.GenFishCompletion(a.out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(a.out)
			}
			return usagef("shell %q: want %s", args[0], alternatives(shells))
		},
	}
}
