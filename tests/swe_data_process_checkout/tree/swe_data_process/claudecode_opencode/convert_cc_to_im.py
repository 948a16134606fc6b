from swe_data_process.command import main
from swe_data_process.dialogue import last_call

if __name__ == "__main__":
    main(last_call, has_reasoning_options=True, has_quiet=True)
