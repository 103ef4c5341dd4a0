"""Schedules and their slots. On MariaDB and MySQL their names are compared exactly, as tasks' are."""

import django.db.models.deletion
from django.db import migrations, models

COLUMNS = {
    "tasktrack_schedule": {"name": "varchar(255)", "task": "varchar(255)"},
    "tasktrack_scheduleslot": {"name": "varchar(255)"},
}


def make_exact(apps, schema_editor):
    connection = schema_editor.connection
    if connection.vendor != "mysql":
        return
    collation = "utf8mb4_nopad_bin" if connection.mysql_is_mariadb else "utf8mb4_0900_bin"
    for table, columns in COLUMNS.items():
        changes = ", ".join(
            f"MODIFY `{name}` {kind} CHARACTER SET utf8mb4 COLLATE {collation} NOT NULL"
            for name, kind in columns.items()
        )
        schema_editor.execute(f"ALTER TABLE `{table}` {changes}")


class Migration(migrations.Migration):

    dependencies = [
        ('tasktrack', '0006_relations'),
    ]

    operations = [
        migrations.CreateModel(
            name='Schedule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=255, unique=True, verbose_name='name')),
                ('task', models.CharField(help_text="A task's name.", max_length=255, verbose_name='task')),
                ('timing', models.CharField(help_text='A cron text (30 7 * * mon-fri), an interval (every 90 s, every 15 min, every 2 h, every 1 d) or one time (at 2030-01-31 07:30).', max_length=255, verbose_name='when')),
                ('timezone', models.CharField(blank=True, default='', help_text="Such as Europe/Berlin. Empty: the site's.", max_length=64, verbose_name='time zone')),
                ('args', models.JSONField(blank=True, default=list, verbose_name='positional arguments')),
                ('kwargs', models.JSONField(blank=True, default=dict, verbose_name='keyword arguments')),
                ('queue', models.CharField(blank=True, default='', help_text="Empty: the task's own.", max_length=100, verbose_name='queue')),
                ('priority', models.SmallIntegerField(blank=True, help_text="Empty: the task's own.", null=True, verbose_name='priority')),
                ('expires', models.FloatField(blank=True, help_text='A task that has not begun so long after it was enqueued never will.', null=True, verbose_name='expires, seconds')),
                ('unique_key', models.CharField(blank=True, default='', help_text="While a task with this key waits or runs, a slot adds no other. Empty: the task's own.", max_length=255, verbose_name='unique key')),
                ('catch_up', models.PositiveSmallIntegerField(default=1, help_text='0: none. 1: the latest. More: so many of the latest.', verbose_name='missed slots to run')),
                ('enabled', models.BooleanField(default=True, verbose_name='enabled')),
                ('declaration', models.JSONField(editable=False, null=True, verbose_name='declaration')),
                ('withdrawn_at', models.DateTimeField(editable=False, null=True, verbose_name='withdrawn')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='created')),
                ('next_at', models.DateTimeField(editable=False, null=True, verbose_name='next slot')),
                ('last_at', models.DateTimeField(editable=False, null=True, verbose_name='last slot')),
                ('problem', models.CharField(blank=True, default='', editable=False, max_length=255, verbose_name='problem')),
            ],
            options={
                'verbose_name': 'schedule',
                'verbose_name_plural': 'schedules',
                'permissions': [('run_schedule', 'Can run schedules now')],
                'indexes': [models.Index(fields=['next_at'], name='tasktrack_schedule_next')],
            },
        ),
        migrations.CreateModel(
            name='ScheduleSlot',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('slot', models.DateTimeField(verbose_name='slot')),
                ('name', models.CharField(max_length=255, verbose_name='name of the schedule')),
                ('task_id', models.UUIDField(db_index=True, verbose_name='task')),
                ('joined', models.BooleanField(default=False, help_text='An earlier task with its key was still there.', verbose_name='joined')),
                ('by_hand', models.BooleanField(default=False, verbose_name='run by hand')),
                ('enqueued_at', models.DateTimeField(db_index=True, verbose_name='enqueued')),
                ('schedule', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='slots', to='tasktrack.schedule', verbose_name='schedule')),
            ],
            options={
                'verbose_name': 'slot',
                'verbose_name_plural': 'slots',
                'default_permissions': ('view',),
                'constraints': [models.UniqueConstraint(fields=('schedule', 'slot'), name='tasktrack_schedule_slot')],
            },
        ),
        migrations.RunPython(
            make_exact,
            migrations.RunPython.noop,
            atomic=False,
            hints={"model_name": "schedule"},
        ),
    ]
