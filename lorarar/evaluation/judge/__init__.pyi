from .plan import plan_all as plan_all
from .plan import plan_run as plan_run
from .records import Question as Question
from .run import judge_by_name as judge_by_name
from .run import report_run as report_run
from .run import reread as reread
from .run_comparison import compare_judges as compare_judges
from .run_comparison import describe_agreement as describe_agreement
